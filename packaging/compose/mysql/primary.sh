# Sourced by the image's entry point when the data folder is new: the accounts of the replica and of squeal, and a
# table to try things with.  docker_process_sql is the entry point's; accounts and table go through the binlog, so the
# replica has them too.
secrets=${SECRETS:-/run/secrets}
docker_process_sql --database=mysql <<-EOSQL
	CREATE USER replication@'%' IDENTIFIED WITH caching_sha2_password BY '$(cat "$secrets/replication")' REQUIRE SSL;
	GRANT REPLICATION SLAVE ON *.* TO replication@'%';
	CREATE USER squeal@'%' IDENTIFIED WITH caching_sha2_password BY '$(cat "$secrets/squeal")' REQUIRE SSL PASSWORD EXPIRE NEVER;
	GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO squeal@'%';
	CREATE DATABASE shop;
	CREATE TABLE shop.users (id BIGINT PRIMARY KEY, name VARCHAR(255) NOT NULL);
EOSQL
