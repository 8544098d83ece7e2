import random

import pytest

from engine.net.net import Net
from tests.net.virtual import Memory, VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def net(clock: VirtualClock, memory: Memory) -> Net:
    return Net(clock=clock, dice=random.Random(7), observer=memory)
