-- Merges write every span again, and a span has kilobytes of text: wider ones, so that a span passes through fewer.
ALTER TABLE spans MODIFY SETTING merge_selector_base = 10;
