"""All that `livepromo worker` runs: `faust -A topologies.worker worker --without-web`."""

from livepromo.settings import load
from livepromo.worker.app import STAGES, Worker

app = Worker(load(), STAGES).app
