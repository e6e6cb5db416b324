"""All that `livepromo worker` runs, of the decide stage alone: `faust -A topologies.decide worker --without-web`."""

from livepromo.settings import load
from livepromo.worker.app import Worker

app = Worker(load(), ("decide",)).app
