"""`python -m proganomaly.pipeline` is `proganomaly`."""

import sys

from proganomaly.pipeline.cli import main

sys.exit(main())
