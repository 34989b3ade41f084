/*
 * Peer - row changes of shop.users to two cache keys each, by Debezium.
 *
 *     Peer engine HOST PORT USER PASSWORD SERVER_ID ROWS FOLDER    the embedded engine, its records as Connect structs
 *     Peer reader HOST PORT USER PASSWORD SERVER_ID ROWS FOLDER    only the binlog reader inside of it
 *
 * Reads the server's binlog from its beginning until ROWS row changes came by, makes user:{id} and mail:{email} of
 * the row before and after each, as the rule does, and prints one line of what came and what it took: the wall and the
 * process's CPU time between the first row change and the last, so neither the start of the JVM nor the snapshot counts.
 */
import com.github.shyiko.mysql.binlog.BinaryLogClient;
import com.github.shyiko.mysql.binlog.event.UpdateRowsEventData;
import io.debezium.embedded.Connect;
import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import java.io.Serializable;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

public class Peer {
	private static final com.sun.management.OperatingSystemMXBean OS =
			(com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
	private static final CountDownLatch DONE = new CountDownLatch(1);
	private static long expected, rows, keys, bytes, wallBegin, cpuBegin;

	private static void key(String key) {
		keys++;
		bytes += key.length();
	}

	/* Keys of both images; equal ones once. */
	private static void change(Object idBefore, Object mailBefore, Object idAfter, Object mailAfter) {
		if (rows == 0) {
			wallBegin = System.nanoTime();
			cpuBegin = OS.getProcessCpuTime();
		}
		String user = "user:" + idBefore, mail = "mail:" + mailBefore;
		String newUser = "user:" + idAfter, newMail = "mail:" + mailAfter;
		key(user);
		if (!newUser.equals(user))
			key(newUser);
		key(mail);
		if (!newMail.equals(mail))
			key(newMail);
		if (++rows == expected) {
			System.out.printf("{\"rows\":%d,\"keys\":%d,\"bytes\":%d,\"wall_s\":%.6f,\"cpu_s\":%.6f}%n", rows, keys, bytes,
					(System.nanoTime() - wallBegin) / 1e9, (OS.getProcessCpuTime() - cpuBegin) / 1e9);
			DONE.countDown();
		}
	}

	private static void engine(String[] a) throws Exception {
		Properties p = new Properties();
		p.setProperty("name", "peer");
		p.setProperty("connector.class", "io.debezium.connector.mariadb.MariaDbConnector");
		p.setProperty("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
		p.setProperty("offset.storage.file.filename", Path.of(a[7], "offsets").toString());
		p.setProperty("offset.flush.interval.ms", "10000");
		p.setProperty("database.hostname", a[1]);
		p.setProperty("database.port", a[2]);
		p.setProperty("database.user", a[3]);
		p.setProperty("database.password", a[4]);
		p.setProperty("database.server.id", a[5]);
		p.setProperty("database.ssl.mode", "disable");
		p.setProperty("topic.prefix", "peer");
		p.setProperty("table.include.list", "shop.users");
		p.setProperty("snapshot.mode", "never");
		p.setProperty("schema.history.internal", "io.debezium.relational.history.MemorySchemaHistory");
		p.setProperty("max.batch.size", "8192");
		p.setProperty("max.queue.size", "32768");
		DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine = DebeziumEngine.create(Connect.class)
				.using(p).notifying(Peer::batch).build();
		ExecutorService executor = Executors.newSingleThreadExecutor();
		executor.execute(engine);
		DONE.await();
		System.exit(0);
	}

	private static void batch(List<ChangeEvent<SourceRecord, SourceRecord>> events,
			DebeziumEngine.RecordCommitter<ChangeEvent<SourceRecord, SourceRecord>> committer) throws InterruptedException {
		for (ChangeEvent<SourceRecord, SourceRecord> event : events) {
			Object value = event.value().value();
			if (value instanceof Struct && "u".equals(operation((Struct) value))) {
				Struct before = ((Struct) value).getStruct("before"), after = ((Struct) value).getStruct("after");
				change(before.get("id"), before.get("email"), after.get("id"), after.get("email"));
			}
			committer.markProcessed(event);
		}
		committer.markBatchFinished();
	}

	private static String operation(Struct value) {
		return value.schema().field("op") != null ? value.getString("op") : null;
	}

	private static String text(Object column) {
		return column instanceof byte[] ? new String((byte[]) column, StandardCharsets.UTF_8) : String.valueOf(column);
	}

	private static void reader(String[] a) throws Exception {
		BinaryLogClient client = new BinaryLogClient(a[1], Integer.parseInt(a[2]), a[3], a[4]);
		client.setServerId(Long.parseLong(a[5]));
		client.setBinlogFilename("");
		client.setBinlogPosition(4);
		client.setKeepAlive(false);
		client.registerEventListener(event -> {
			if (!(event.getData() instanceof UpdateRowsEventData))
				return;
			for (Map.Entry<Serializable[], Serializable[]> row : ((UpdateRowsEventData) event.getData()).getRows())
				change(row.getKey()[0], text(row.getKey()[2]), row.getValue()[0], text(row.getValue()[2]));
		});
		Thread thread = new Thread(() -> {
			try {
				client.connect();
			} catch (Exception e) {
				e.printStackTrace();
				System.exit(1);
			}
		});
		thread.setDaemon(true);
		thread.start();
		DONE.await();
		System.exit(0);
	}

	public static void main(String[] a) throws Exception {
		if (a.length != 8) {
			System.err.println("usage: Peer engine|reader HOST PORT USER PASSWORD SERVER_ID ROWS FOLDER");
			System.exit(2);
		}
		expected = Long.parseLong(a[6]);
		if (a[0].equals("engine"))
			engine(a);
		else
			reader(a);
	}
}
