"""Real servers for tests, the demo and benchmarks: private, on free loopback ports, gone at exit.

Only the standard library is needed.  Everything lives under build/run/<name>/; logs stay there.
"""

from .process import (BUILD, ROOT, Failure, Process, free_port, run_dir, show_logs, stop_everything,  # noqa: F401
                      wait_until)
from .database import Database  # noqa: F401
from .mariadb import Mariadb, MariadbNew  # noqa: F401
from .mysql import Mysql, NoMysql, mysql_argv, mysql_root, oracle_build  # noqa: F401
from .kafka import Kafka, kafka_dist  # noqa: F401
from .root import NoServer, server_root  # noqa: F401
from .tls import Certificates  # noqa: F401
from .cache import Cache, CacheClient, cache_argv, cache_is_ours, cpu_seconds, resident_bytes  # noqa: F401
from .memcached import Memcached, MemcachedClient  # noqa: F401
from .pipeline import (Pipeline, Router, Squeal, make_database, parse_metrics, read_trace,  # noqa: F401
                       write_config)
from .load import Load  # noqa: F401
