"""Apache Kafka in the foreground: `make kafka`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tests.kafka.broker import BrokerError, KafkaBroker, choose_broker


def main() -> int:
    arguments = _arguments()
    if missing := choose_broker(os.environ).missing:
        return _fail(missing)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broker = KafkaBroker(arguments.data_dir, arguments.port)
    try:
        broker.start()
        print(f"Apache Kafka is ready, Ctrl-C stops it. To use it:\nKAFKA_BOOTSTRAP={broker.bootstrap}", flush=True)
        return _fail(str(broker.wait()))
    except BrokerError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        broker.stop()
        print("Apache Kafka has stopped", flush=True)
        return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.kafka", description="Run Apache Kafka on loopback.")
    parser.add_argument("--port", type=int, default=9092, help="0 takes a free one (default: 9092)")
    parser.add_argument("--data-dir", type=Path, default=Path(".kafka/data"), help="default: .kafka/data")
    return parser.parse_args()


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
