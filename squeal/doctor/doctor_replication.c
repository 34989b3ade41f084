#include "squeal/doctor/doctor_rows.h"

/* clang-format off */

#define NO_FAILOVER                                                                                            \
	"Without GTIDs a failover is a gap, because a checkpoint means nothing on another server, " \
	"and squeal cannot ask whether a commit can be seen, so deletes wait a fixed time and may still be early."
#define EVERYWHERE "/* now each statement on every server before the next one */ "
#define GTID_FROM_ON_PERMISSIVE                                                                                \
	"/* wait until Ongoing_anonymous_transaction_count is 0, and replicas have caught up */ {set} gtid_mode=ON"
#define GTID_FROM_OFF_PERMISSIVE "{set} gtid_mode=ON_PERMISSIVE; " GTID_FROM_ON_PERMISSIVE

JUDGE(visibility_off, IS("our.visibility", "off"))
JUDGE(gtid_off, IS("gtid_mode", "OFF"))
JUDGE(gtid_off_permissive, IS("gtid_mode", "OFF_PERMISSIVE"))
JUDGE(gtid_on_permissive, IS("gtid_mode", "ON_PERMISSIVE"))
JUDGE(replica_without_updates, ON("replica") && OFF("replica.updates"))
JUDGE(replica_takes_writes, ON("replica") && OFF("super_read_only"))
JUDGE(parallel_unordered, ON("replica") && NUM("replica.workers") > 1 && OFF("replica.order"))
JUDGE(parallel_domains, ON("replica") && NUM("slave_parallel_threads") > 0 && !IS("slave_parallel_mode", "none") && NUM("gtid.domains") > 1)
JUDGE(several_domains, NUM("gtid.domains") > 1)
JUDGE(not_strict, OFF("gtid_strict_mode"))
JUDGE(server_id_zero, NUM("server_id") == 0)
JUDGE(server_id_same, IS("server_id", TEXT("our.server_id")))
JUDGE(twin_server, HAS("twin.server"))
JUDGE(twin_id, HAS("twin.id"))
JUDGE(twin_uuid, HAS("twin.uuid"))
JUDGE(uuid_clash, HAS("uuid.clash"))
JUDGE(replica_clash, HAS("replicas.clash"))
JUDGE(semi_sync_on, ON("semi_sync.enabled"))
JUDGE(semi_sync_after_sync, semi_sync_on(f) && IS("semi_sync.point", "AFTER_SYNC"))
JUDGE(semi_sync_early, semi_sync_after_sync(f) && visibility_off(f))
JUDGE(semi_sync_slow, semi_sync_after_sync(f) && NUM("semi_sync.timeout") >= NUM("our.patience_ms"))
JUDGE(semi_sync_late, semi_sync_on(f) && IS("semi_sync.point", "AFTER_COMMIT"))
JUDGE(scheduling_off, OFF("binlog_optimize_thread_scheduling") && !visibility_off(f))
JUDGE(packet_above_event, NUM("max_allowed_packet") > NUM("our.max_event"))
JUDGE(packet_of_primary, ON("replica") && NUM("replica.packet") > NUM("our.max_event"))
JUDGE(write_timeout_short, NUM("net_write_timeout") < 10)
JUDGE(other_engines, NUM("tables.other") > 0)
JUDGE(no_tables_seen, NUM("tables.seen") == 0)

static const struct doctor_row rows[] = {
    /* GTIDs */
    ROW("gtid_mode", SERVER, DANGER, "gtid_mode", gtid_off, "gtid_mode is OFF", NO_FAILOVER, SQL,
	"{set} enforce_gtid_consistency=WARN; /* wait until the error log has no more GTID warnings */ "
	"{set} enforce_gtid_consistency=ON; " EVERYWHERE "{set} gtid_mode=OFF_PERMISSIVE; " GTID_FROM_OFF_PERMISSIVE)
    ROW("gtid_mode", SERVER, DANGER, "gtid_mode", gtid_off_permissive, "gtid_mode is OFF_PERMISSIVE", NO_FAILOVER, SQL,
	"{set} enforce_gtid_consistency=ON; " EVERYWHERE GTID_FROM_OFF_PERMISSIVE)
    ROW("gtid_mode", SERVER, DANGER, "gtid_mode", gtid_on_permissive, "gtid_mode is ON_PERMISSIVE",
	"Transactions that come from a server without GTIDs have none here either, and with one of them a checkpoint is of no use on another server.",
	SQL, GTID_FROM_ON_PERMISSIVE)
    FINE("gtid_mode", SERVER, "gtid_mode", "ON")

    /* replicas and ids */
    ROW("log_slave_updates", SERVER, BROKEN, "replica.updates", replica_without_updates,
	"the server is a replica with {replica.updates.name}=OFF",
	"What it takes over from its primary is not in its binlog, and squeal sees none of it.", SERVER_CNF,
	"{replica.updates.name}=ON")
    FINE("log_slave_updates", SERVER, "replica.updates", "{replica.updates.name}={replica.updates}, {replica.text}")
    ROW("read_only", SERVER, NOTE, "super_read_only", replica_takes_writes, "the server is a replica, and super_read_only is OFF",
	"A write there gets a GTID that no other server has, and a checkpoint with it fits no other server.", SQL,
	"{set} super_read_only=ON")
    FINE("read_only", SERVER, "super_read_only", "super_read_only={super_read_only}, {replica.text}")
    ROW("parallel", SERVER, NOTE, "replica.order", parallel_unordered,
	"{replica.workers} replication threads, {replica.order.name}=OFF",
	"Transactions are in the binlog in another order than on the primary, so a checkpoint of it has holes that no other server has.",
	SQL, "STOP {word.replica} SQL_THREAD; {set} {replica.order.name}=ON; START {word.replica} SQL_THREAD")
    ROW("parallel", SERVER, NOTE, "slave_parallel_mode", parallel_domains,
	"{slave_parallel_threads} replication threads, mode {slave_parallel_mode}, {gtid.domains} GTID domains",
	"Transactions of different domains come in another order than on the primary, so an older write of a key may be read last.",
	SQL, "STOP SLAVE; {set} slave_parallel_threads=0; START SLAVE")
    FINE("parallel", SERVER, "replica.order", "{replica.order.name}={replica.order}, {replica.text}")
    FINE("parallel", SERVER, "slave_parallel_mode", "transactions come in the order of their commits (slave_parallel_mode={slave_parallel_mode})")
    ROW("domains", SERVER, NOTE, "gtid_binlog_pos", several_domains, "the binlog has {gtid.domains} GTID domains: {gtid_binlog_pos}",
	"A checkpoint needs all of them, so a server to fail over to must have all of them.", ADVICE,
	"write with one gtid_domain_id; FLUSH BINARY LOGS DELETE_DOMAIN_ID=(N) removes one that is no longer used")
    FINE("domains", SERVER, "gtid_binlog_pos", "GTID position {gtid_binlog_pos}")
    ROW("gtid_strict_mode", SERVER, NOTE, "gtid_strict_mode", not_strict, "gtid_strict_mode is OFF",
	"A write on the wrong server gets a GTID out of order, and then a checkpoint does not tell what was read.", SQL,
	"{set} gtid_strict_mode=ON")
    FINE("gtid_strict_mode", SERVER, "gtid_strict_mode", "ON")
    ROW("server_id", SERVER, BROKEN, "server_id", server_id_zero, "the server's server_id is 0",
	"A server without an id refuses replicas, and squeal is one.", SERVER_CNF, "server_id=1")
    ROW("server_id", SERVER, BROKEN, "server_id", server_id_same, "the server's server_id {server_id} is squeal's too",
	"A replica leaves out what its own id wrote, so squeal refuses to start.", YAML, "source.server_id: {free.server_id}")
    ROW("server_id", SERVER, DANGER, "twin.id", twin_id, "{twin.id} has the same server_id {server_id}",
	"Where one is a replica of the other it leaves out what the other wrote, and its binlog has none of it.", SERVER_CNF,
	"server_id=N   # a number of its own on each")
    FINE("server_id", SERVER, "server_id", "server {server_id}, squeal {our.server_id}")
    ROW("endpoints", SERVER, NOTE, "twin.server", twin_server, "{twin.server} is the same server",
	"When it fails there is no other one to go on with.", YAML, "source.endpoints: each server once, by the name that is its own")
    FINE("endpoints", SERVER, "twin.server", "none of the others is the same server")
    ROW("server_uuid", SERVER, DANGER, "twin.uuid", twin_uuid, "{twin.uuid} has the same server_uuid {server_uuid}",
	"GTIDs carry the uuid, so commits of two servers get the same ones, and one of the two is taken for read already.", SHELL,
	"rm auto.cnf   # in the data folder of the one that was copied, and restart it")
    ROW("server_uuid", SERVER, DANGER, "uuid.clash", uuid_clash, "two servers have the server_uuid {uuid.clash}",
	"GTIDs carry the uuid, so commits of two servers get the same ones, and one of the two is taken for read already.", SHELL,
	"rm auto.cnf   # in the data folder of the replica that was copied, and restart it")
    FINE("server_uuid", SERVER, "uuid.clash", "{server_uuid}; no replica has it too")
    ROW("replicas", SERVER, DANGER, "replicas.clash", replica_clash,
	"replica \"{replicas.clash}\" has our server_id {our.server_id}",
	"Two replicas of one id throw each other out again and again.", YAML, "source.server_id: {free.server_id}")
    FINE("replicas", SERVER, "replicas.clash", "{replicas.n} connected; none but squeal has our server_id {our.server_id}")
    ROW("semi_sync", SERVER, DANGER, "semi_sync.enabled", semi_sync_early,
	"semi-sync waits AFTER_SYNC, and source.visibility is off",
	"A commit is in the binlog for up to {semi_sync.timeout} ms before readers see it, and a delete in between is undone by the next reader.",
	YAML, "source.visibility: gate")
    ROW("semi_sync", SERVER, DANGER, "semi_sync.enabled", semi_sync_slow,
	"{semi_sync.timeout.name} ({semi_sync.timeout} ms) is not below source.visibility_patience ({our.patience_ms} ms)",
	"While no replica acknowledges, squeal stops waiting for the commit to become visible and deletes too early.", SQL,
	"{set} {semi_sync.timeout.name}=10000")
    ROW("semi_sync", SERVER, DANGER, "semi_sync.enabled", semi_sync_late, "semi-sync waits AFTER_COMMIT",
	"Readers see a commit before a replica has it, so after a failover caches hold values of commits that no longer exist, and nothing deletes those.",
	SQL, "{set} {semi_sync.point.name}=AFTER_SYNC")
    ROW("semi_sync", SERVER, OK, "semi_sync.enabled", semi_sync_on,
	"on, {semi_sync.point}, timeout {semi_sync.timeout} ms; the gate waits for it", "", NOWHERE, "")
    FINE("semi_sync", SERVER, "semi_sync.enabled", "off")
    ROW("scheduling", SERVER, DANGER, "binlog_optimize_thread_scheduling", scheduling_off,
	"binlog_optimize_thread_scheduling is OFF",
	"The server does not say exactly which commits can be seen, so keys wait for source.visibility_patience and may still be early.",
	SERVER_CNF, "binlog_optimize_thread_scheduling=ON")
    FINE("scheduling", SERVER, "binlog_optimize_thread_scheduling", "binlog_optimize_thread_scheduling={binlog_optimize_thread_scheduling}")

    /* limits */
    ROW("max_allowed_packet", SERVER, DANGER, "max_allowed_packet", packet_above_event,
	"max_allowed_packet ({max_allowed_packet}) is above source.max_event ({our.max_event})",
	"One large statement ends the reading in state GAP.", YAML, "source.max_event: {max_allowed_packet}")
    ROW("max_allowed_packet", SERVER, DANGER, "replica.packet", packet_of_primary,
	"{replica.packet.name} ({replica.packet}) is above source.max_event ({our.max_event})",
	"One large event of the primary ends the reading in state GAP.", YAML, "source.max_event: {replica.packet}")
    FINE("max_allowed_packet", SERVER, "max_allowed_packet", "{max_allowed_packet} bytes, source.max_event is {our.max_event}")
    ROW("net_write_timeout", SERVER, NOTE, "net_write_timeout", write_timeout_short, "net_write_timeout is {net_write_timeout} s",
	"squeal asks for 600 s in its session, but behind a proxy that drops session settings a slow log would cost the connection.",
	SQL, "{set} net_write_timeout=60")
    FINE("net_write_timeout", SERVER, "net_write_timeout", "{net_write_timeout} s; squeal asks for 600 s in its session")
    ROW("engines", SERVER, NOTE, "tables.other", other_engines,
	"{tables.other} tables are not InnoDB: {tables.names}",
	"A rollback does not undo writes to them, and a crash can lose them after their keys were deleted.", SQL,
	"ALTER TABLE {tables.first} ENGINE=InnoDB")
    ROW("engines", SERVER, NOTE, "tables.other", no_tables_seen, "not checked: {account} may see no table",
	"A rollback does not undo writes to tables that are not InnoDB, and a crash can lose them after their keys were deleted.",
	ADVICE, "run squeal doctor once with an account that may see the tables; squeal run does not need to")
    FINE("engines", SERVER, "tables.other", "all of the {tables.seen} tables that {account} may see are InnoDB")

};
/* clang-format on */

const struct doctor_theme doctor_replication = {rows, sizeof(rows) / sizeof(rows[0])};
