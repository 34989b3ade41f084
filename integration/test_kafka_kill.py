"""kill -9 at random moments, of everything that test_kill.py kills and of three brokers; then the checker."""

import os

import pytest

from test_kafka import there_is_a_kafka  # noqa: F401
from test_kill import ROUND, SOAK_KILLS, Killer, kill_round, seeds

KILLS = int(os.environ.get("KAFKA_KILLS", "100"))
PIPELINE = {"kafka": 3, "instances": ["one", "two"], "topic": {"partitions": 2, "replicas": 3, "min.insync.replicas": 2}}


class KafkaKiller(Killer):
    def victims(self):
        if self.rng.random() < 0.25:
            return [("broker", self.rng.choice(self.p.kafka.brokers).process)]
        return super().victims()


def test_random_kills_over_kafka():
    kill_round("test_random_kills_over_kafka", seeds(), KILLS, killer=KafkaKiller, **PIPELINE)


@pytest.mark.soak
def test_random_kills_over_kafka_for_hours():
    first = seeds()
    for i in range((SOAK_KILLS + ROUND - 1) // ROUND):
        kill_round("test_random_kills_over_kafka_for_hours", first + i, min(ROUND, SOAK_KILLS - i * ROUND), killer=KafkaKiller,
                   **PIPELINE)
