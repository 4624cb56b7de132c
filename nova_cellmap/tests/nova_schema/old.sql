CREATE TABLE cell_mappings (
	created_at DATETIME,
	updated_at DATETIME,
	id INTEGER NOT NULL,
	uuid VARCHAR(36) NOT NULL,
	name VARCHAR(255),
	transport_url TEXT,
	database_connection TEXT,
	PRIMARY KEY (id),
	CONSTRAINT uniq_cell_mappings0uuid UNIQUE (uuid)
);
CREATE TABLE host_mappings (
	created_at DATETIME,
	updated_at DATETIME,
	id INTEGER NOT NULL,
	cell_id INTEGER NOT NULL,
	host VARCHAR(255) NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uniq_host_mappings0host UNIQUE (host),
	FOREIGN KEY(cell_id) REFERENCES cell_mappings (id)
);
CREATE TABLE instance_mappings (
	created_at DATETIME,
	updated_at DATETIME,
	id INTEGER NOT NULL,
	instance_uuid VARCHAR(36) NOT NULL,
	cell_id INTEGER,
	project_id VARCHAR(255) NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uniq_instance_mappings0instance_uuid UNIQUE (instance_uuid),
	FOREIGN KEY(cell_id) REFERENCES cell_mappings (id)
);
CREATE INDEX instance_uuid_idx ON instance_mappings (instance_uuid);
CREATE INDEX project_id_idx ON instance_mappings (project_id);
CREATE TABLE migrate_version (
	repository_id VARCHAR(250) NOT NULL,
	repository_path TEXT,
	version INTEGER,
	PRIMARY KEY (repository_id)
);
INSERT INTO migrate_version VALUES ('nova_api', '/nova/db/sqlalchemy/api_migrations/migrate_repo', 29);
