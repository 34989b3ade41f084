# Sourced by the image's entry point when the data folder is new: follow the primary.  What the set-up of this server
# wrote into its own binlog goes, or it would have transactions that the primary has not.  The threads start with the
# server's real start, which comes after this.
secrets=${SECRETS:-/run/secrets}
docker_process_sql --database=mysql <<-EOSQL
	RESET BINARY LOGS AND GTIDS;
	CHANGE REPLICATION SOURCE TO SOURCE_HOST='${PRIMARY_HOST:-mysql-primary}', SOURCE_PORT=${PRIMARY_PORT:-3306},
		SOURCE_USER='replication', SOURCE_PASSWORD='$(cat "$secrets/replication")', SOURCE_SSL=1,
		SOURCE_AUTO_POSITION=1, SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=0;
	SET PERSIST super_read_only = ON;
EOSQL
