-- Token prices, the models they belong to, and the dictionary by which an insert computes its cost (schemas/cost_sql.py).

-- What a model costs, one row a step: a price holds from a day on, from a minute of the day on, from a number of input tokens on.
-- Rows are written once and never changed: a new list has a new version. So the price of any stored span can be looked up.
CREATE TABLE prices
(
    version LowCardinality(String) COMMENT 'as in spans.price_version',
    price_key String COMMENT 'provider/model of the list, in lower case',
    valid_from Date COMMENT 'midnight UTC; 1970-01-01: since ever',
    from_minute UInt16 COMMENT 'minute of the day, UTC',
    from_input_tokens UInt64 COMMENT 'applies to every token of a request whose input has at least as many',
    source LowCardinality(String) COMMENT 'genai-prices or operator',
    input_usd_per_mtok Decimal(18, 12),
    cache_read_usd_per_mtok Decimal(18, 12),
    cache_write_usd_per_mtok Decimal(18, 12),
    output_usd_per_mtok Decimal(18, 12),
    request_usd_per_million Decimal(18, 12) COMMENT 'for a million requests, beside their tokens',
    updated_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(updated_at)
ORDER BY (version, price_key, valid_from, from_minute, from_input_tokens);

-- Which price a (provider, model) found on spans has; the newest row of a pair counts.
CREATE TABLE model_resolution
(
    provider String COMMENT 'as on the span, in lower case',
    model String COMMENT 'as on the span, in lower case',
    resolved UInt8 COMMENT '0: no price is known',
    price_key String,
    price_version LowCardinality(String),
    resolver LowCardinality(String) COMMENT 'the lists that were asked; another value means: ask again',
    reason LowCardinality(String),
    updated_at DateTime64(3, 'UTC')
)
ENGINE = {replacing_merge_tree}(updated_at)
ORDER BY (provider, model)
TTL toDateTime(updated_at) + toIntervalDay(30) DELETE WHERE resolved = 0;

-- One entry a (provider, model). steps: day << 48 | minute << 37 | input tokens, ascending; the last one whose three parts are
-- all reached applies. rates: five a step, in US dollars a token: input, cache read, cache write, output, and the request itself.
-- Reloaded by whoever writes the tables above; the lifetime is for the other nodes of a cluster.
CREATE DICTIONARY token_prices
(
    provider String,
    model String,
    version String,
    steps Array(UInt64),
    rates Array(Decimal(18, 18))
)
PRIMARY KEY provider, model
SOURCE(CLICKHOUSE({dictionary_access} QUERY '
    SELECT provider, model, version, sorted.1 AS steps, arrayFlatten(sorted.2) AS rates
    FROM
    (
        SELECT provider, model, price_key, price_version AS version
        FROM {database}.model_resolution FINAL
        WHERE resolved = 1
    ) AS named
    INNER JOIN
    (
        SELECT price_key, version, arraySort(groupArray((
            bitShiftLeft(toUInt64(toUInt16(valid_from)), 48) + bitShiftLeft(toUInt64(from_minute), 37) + from_input_tokens,
            arrayMap(rate -> toDecimal64(toDecimal128(rate, 18) / 1000000, 18), [
                input_usd_per_mtok, cache_read_usd_per_mtok, cache_write_usd_per_mtok, output_usd_per_mtok,
                request_usd_per_million])))) AS sorted
        FROM {database}.prices FINAL
        GROUP BY price_key, version
    ) AS priced USING (price_key, version)'
    INVALIDATE_QUERY 'SELECT max(updated_at) FROM {database}.model_resolution'))
LAYOUT(COMPLEX_KEY_HASHED())
LIFETIME(MIN 5 MAX 15);
