"""All that `livepromo worker` runs, of the deliver stage alone: `faust -A topologies.deliver worker --without-web`."""

from livepromo.settings import load
from livepromo.worker.app import Worker

app = Worker(load(), ("deliver",)).app
