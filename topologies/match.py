"""All that `livepromo worker` runs, of the match stage alone: `faust -A topologies.match worker --without-web`."""

from livepromo.settings import load
from livepromo.worker.app import Worker

app = Worker(load(), ("match",)).app
