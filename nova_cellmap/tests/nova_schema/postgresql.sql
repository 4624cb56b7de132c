CREATE TYPE build_requests0locked_by AS ENUM ('owner', 'admin');
CREATE TYPE keypair_types AS ENUM ('ssh', 'x509');
CREATE TABLE aggregate_hosts (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    host character varying(255),
    aggregate_id integer NOT NULL
);
CREATE TABLE aggregate_metadata (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    aggregate_id integer NOT NULL,
    key character varying(255) NOT NULL,
    value character varying(255) NOT NULL
);
CREATE TABLE aggregates (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36),
    name character varying(255)
);
CREATE TABLE alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE allocations (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    resource_provider_id integer NOT NULL,
    consumer_id character varying(36) NOT NULL,
    resource_class_id integer NOT NULL,
    used integer NOT NULL
);
CREATE TABLE build_requests (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    project_id character varying(255) NOT NULL,
    instance_uuid character varying(36),
    instance text,
    block_device_mappings text,
    tags text
);
CREATE TABLE cell_mappings (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36) NOT NULL,
    name character varying(255),
    transport_url text,
    database_connection text,
    disabled boolean
);
CREATE TABLE consumers (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36) NOT NULL,
    project_id integer NOT NULL,
    user_id integer NOT NULL,
    generation integer DEFAULT 0 NOT NULL
);
CREATE TABLE flavor_extra_specs (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    flavor_id integer NOT NULL,
    key character varying(255) NOT NULL,
    value character varying(255)
);
CREATE TABLE flavor_projects (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    flavor_id integer NOT NULL,
    project_id character varying(255) NOT NULL
);
CREATE TABLE flavors (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    name character varying(255) NOT NULL,
    id serial NOT NULL,
    memory_mb integer NOT NULL,
    vcpus integer NOT NULL,
    swap integer NOT NULL,
    vcpu_weight integer,
    flavorid character varying(255) NOT NULL,
    rxtx_factor double precision,
    root_gb integer,
    ephemeral_gb integer,
    disabled boolean,
    is_public boolean,
    description text
);
CREATE TABLE host_mappings (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    cell_id integer NOT NULL,
    host character varying(255) NOT NULL
);
CREATE TABLE instance_group_member (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    instance_uuid character varying(255),
    group_id integer NOT NULL
);
CREATE TABLE instance_group_policy (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    policy character varying(255),
    group_id integer NOT NULL,
    rules text
);
CREATE TABLE instance_groups (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    user_id character varying(255),
    project_id character varying(255),
    uuid character varying(36) NOT NULL,
    name character varying(255)
);
CREATE TABLE instance_mappings (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    instance_uuid character varying(36) NOT NULL,
    cell_id integer,
    project_id character varying(255) NOT NULL,
    queued_for_delete boolean,
    user_id character varying(255)
);
CREATE TABLE inventories (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    resource_provider_id integer NOT NULL,
    resource_class_id integer NOT NULL,
    total integer NOT NULL,
    reserved integer NOT NULL,
    min_unit integer NOT NULL,
    max_unit integer NOT NULL,
    step_size integer NOT NULL,
    allocation_ratio double precision NOT NULL
);
CREATE TABLE key_pairs (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    name character varying(255) NOT NULL,
    user_id character varying(255) NOT NULL,
    fingerprint character varying(255),
    public_key text,
    type keypair_types DEFAULT 'ssh'::keypair_types NOT NULL
);
CREATE TABLE placement_aggregates (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36)
);
CREATE TABLE project_user_quotas (
    id serial NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    user_id character varying(255) NOT NULL,
    project_id character varying(255) NOT NULL,
    resource character varying(255) NOT NULL,
    hard_limit integer
);
CREATE TABLE projects (
    id serial NOT NULL,
    external_id character varying(255) NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE TABLE quota_classes (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    class_name character varying(255),
    resource character varying(255),
    hard_limit integer
);
CREATE TABLE quota_usages (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    project_id character varying(255),
    resource character varying(255) NOT NULL,
    in_use integer NOT NULL,
    reserved integer NOT NULL,
    until_refresh integer,
    user_id character varying(255)
);
CREATE TABLE quotas (
    id serial NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    project_id character varying(255),
    resource character varying(255) NOT NULL,
    hard_limit integer
);
CREATE TABLE request_specs (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    instance_uuid character varying(36) NOT NULL,
    spec text NOT NULL
);
CREATE TABLE reservations (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36) NOT NULL,
    usage_id integer NOT NULL,
    project_id character varying(255),
    resource character varying(255),
    delta integer NOT NULL,
    expire timestamp without time zone,
    user_id character varying(255)
);
CREATE TABLE resource_classes (
    id serial NOT NULL,
    name character varying(255) NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
CREATE TABLE resource_provider_aggregates (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    resource_provider_id integer NOT NULL,
    aggregate_id integer NOT NULL
);
CREATE TABLE resource_provider_traits (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    trait_id integer NOT NULL,
    resource_provider_id integer NOT NULL
);
CREATE TABLE resource_providers (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    uuid character varying(36) NOT NULL,
    name character varying(200),
    generation integer,
    can_host integer,
    root_provider_id integer,
    parent_provider_id integer
);
CREATE TABLE traits (
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    id serial NOT NULL,
    name character varying(255) NOT NULL
);
CREATE TABLE users (
    id serial NOT NULL,
    external_id character varying(255) NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone
);
ALTER TABLE aggregate_hosts ADD CONSTRAINT aggregate_hosts_pkey PRIMARY KEY (id);
ALTER TABLE aggregate_hosts ADD CONSTRAINT uniq_aggregate_hosts0host0aggregate_id UNIQUE (host, aggregate_id);
ALTER TABLE aggregate_metadata ADD CONSTRAINT aggregate_metadata_pkey PRIMARY KEY (id);
ALTER TABLE aggregate_metadata ADD CONSTRAINT uniq_aggregate_metadata0aggregate_id0key UNIQUE (aggregate_id, key);
ALTER TABLE aggregates ADD CONSTRAINT aggregates_pkey PRIMARY KEY (id);
ALTER TABLE aggregates ADD CONSTRAINT uniq_aggregate0name UNIQUE (name);
ALTER TABLE alembic_version ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE allocations ADD CONSTRAINT allocations_pkey PRIMARY KEY (id);
ALTER TABLE build_requests ADD CONSTRAINT build_requests_pkey PRIMARY KEY (id);
ALTER TABLE build_requests ADD CONSTRAINT uniq_build_requests0instance_uuid UNIQUE (instance_uuid);
ALTER TABLE cell_mappings ADD CONSTRAINT cell_mappings_pkey PRIMARY KEY (id);
ALTER TABLE cell_mappings ADD CONSTRAINT uniq_cell_mappings0uuid UNIQUE (uuid);
ALTER TABLE consumers ADD CONSTRAINT consumers_pkey PRIMARY KEY (id);
ALTER TABLE consumers ADD CONSTRAINT uniq_consumers0uuid UNIQUE (uuid);
ALTER TABLE flavor_extra_specs ADD CONSTRAINT flavor_extra_specs_pkey PRIMARY KEY (id);
ALTER TABLE flavor_extra_specs ADD CONSTRAINT uniq_flavor_extra_specs0flavor_id0key UNIQUE (flavor_id, key);
ALTER TABLE flavor_projects ADD CONSTRAINT flavor_projects_pkey PRIMARY KEY (id);
ALTER TABLE flavor_projects ADD CONSTRAINT uniq_flavor_projects0flavor_id0project_id UNIQUE (flavor_id, project_id);
ALTER TABLE flavors ADD CONSTRAINT flavors_pkey PRIMARY KEY (id);
ALTER TABLE flavors ADD CONSTRAINT uniq_flavors0flavorid UNIQUE (flavorid);
ALTER TABLE flavors ADD CONSTRAINT uniq_flavors0name UNIQUE (name);
ALTER TABLE host_mappings ADD CONSTRAINT host_mappings_pkey PRIMARY KEY (id);
ALTER TABLE host_mappings ADD CONSTRAINT uniq_host_mappings0host UNIQUE (host);
ALTER TABLE instance_group_member ADD CONSTRAINT instance_group_member_pkey PRIMARY KEY (id);
ALTER TABLE instance_group_policy ADD CONSTRAINT instance_group_policy_pkey PRIMARY KEY (id);
ALTER TABLE instance_groups ADD CONSTRAINT instance_groups_pkey PRIMARY KEY (id);
ALTER TABLE instance_groups ADD CONSTRAINT uniq_instance_groups0uuid UNIQUE (uuid);
ALTER TABLE instance_mappings ADD CONSTRAINT instance_mappings_pkey PRIMARY KEY (id);
ALTER TABLE instance_mappings ADD CONSTRAINT uniq_instance_mappings0instance_uuid UNIQUE (instance_uuid);
ALTER TABLE inventories ADD CONSTRAINT inventories_pkey PRIMARY KEY (id);
ALTER TABLE inventories ADD CONSTRAINT uniq_inventories0resource_provider_resource_class UNIQUE (resource_provider_id, resource_class_id);
ALTER TABLE key_pairs ADD CONSTRAINT key_pairs_pkey PRIMARY KEY (id);
ALTER TABLE key_pairs ADD CONSTRAINT uniq_key_pairs0user_id0name UNIQUE (user_id, name);
ALTER TABLE placement_aggregates ADD CONSTRAINT placement_aggregates_pkey PRIMARY KEY (id);
ALTER TABLE placement_aggregates ADD CONSTRAINT uniq_placement_aggregates0uuid UNIQUE (uuid);
ALTER TABLE project_user_quotas ADD CONSTRAINT project_user_quotas_pkey PRIMARY KEY (id);
ALTER TABLE project_user_quotas ADD CONSTRAINT uniq_project_user_quotas0user_id0project_id0resource UNIQUE (user_id, project_id, resource);
ALTER TABLE projects ADD CONSTRAINT projects_pkey PRIMARY KEY (id);
ALTER TABLE projects ADD CONSTRAINT uniq_projects0external_id UNIQUE (external_id);
ALTER TABLE quota_classes ADD CONSTRAINT quota_classes_pkey PRIMARY KEY (id);
ALTER TABLE quota_usages ADD CONSTRAINT quota_usages_pkey PRIMARY KEY (id);
ALTER TABLE quotas ADD CONSTRAINT quotas_pkey PRIMARY KEY (id);
ALTER TABLE quotas ADD CONSTRAINT uniq_quotas0project_id0resource UNIQUE (project_id, resource);
ALTER TABLE request_specs ADD CONSTRAINT request_specs_pkey PRIMARY KEY (id);
ALTER TABLE request_specs ADD CONSTRAINT uniq_request_specs0instance_uuid UNIQUE (instance_uuid);
ALTER TABLE reservations ADD CONSTRAINT reservations_pkey PRIMARY KEY (id);
ALTER TABLE resource_classes ADD CONSTRAINT resource_classes_pkey PRIMARY KEY (id);
ALTER TABLE resource_classes ADD CONSTRAINT uniq_resource_classes0name UNIQUE (name);
ALTER TABLE resource_provider_aggregates ADD CONSTRAINT resource_provider_aggregates_pkey PRIMARY KEY (resource_provider_id, aggregate_id);
ALTER TABLE resource_provider_traits ADD CONSTRAINT resource_provider_traits_pkey PRIMARY KEY (trait_id, resource_provider_id);
ALTER TABLE resource_providers ADD CONSTRAINT resource_providers_pkey PRIMARY KEY (id);
ALTER TABLE resource_providers ADD CONSTRAINT uniq_resource_providers0name UNIQUE (name);
ALTER TABLE resource_providers ADD CONSTRAINT uniq_resource_providers0uuid UNIQUE (uuid);
ALTER TABLE traits ADD CONSTRAINT traits_pkey PRIMARY KEY (id);
ALTER TABLE traits ADD CONSTRAINT uniq_traits0name UNIQUE (name);
ALTER TABLE users ADD CONSTRAINT uniq_users0external_id UNIQUE (external_id);
ALTER TABLE users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
ALTER TABLE aggregate_hosts ADD CONSTRAINT aggregate_hosts_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id);
ALTER TABLE aggregate_metadata ADD CONSTRAINT aggregate_metadata_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id);
ALTER TABLE flavor_extra_specs ADD CONSTRAINT flavor_extra_specs_flavor_id_fkey FOREIGN KEY (flavor_id) REFERENCES flavors(id);
ALTER TABLE flavor_projects ADD CONSTRAINT flavor_projects_flavor_id_fkey FOREIGN KEY (flavor_id) REFERENCES flavors(id);
ALTER TABLE host_mappings ADD CONSTRAINT host_mappings_cell_id_fkey FOREIGN KEY (cell_id) REFERENCES cell_mappings(id);
ALTER TABLE instance_group_member ADD CONSTRAINT instance_group_member_group_id_fkey FOREIGN KEY (group_id) REFERENCES instance_groups(id);
ALTER TABLE instance_group_policy ADD CONSTRAINT instance_group_policy_group_id_fkey FOREIGN KEY (group_id) REFERENCES instance_groups(id);
ALTER TABLE instance_mappings ADD CONSTRAINT instance_mappings_cell_id_fkey FOREIGN KEY (cell_id) REFERENCES cell_mappings(id);
ALTER TABLE reservations ADD CONSTRAINT reservations_usage_id_fkey FOREIGN KEY (usage_id) REFERENCES quota_usages(id);
ALTER TABLE resource_provider_traits ADD CONSTRAINT resource_provider_traits_resource_provider_id_fkey FOREIGN KEY (resource_provider_id) REFERENCES resource_providers(id);
ALTER TABLE resource_provider_traits ADD CONSTRAINT resource_provider_traits_trait_id_fkey FOREIGN KEY (trait_id) REFERENCES traits(id);
ALTER TABLE resource_providers ADD CONSTRAINT resource_providers_parent_provider_id_fkey FOREIGN KEY (parent_provider_id) REFERENCES resource_providers(id);
ALTER TABLE resource_providers ADD CONSTRAINT resource_providers_root_provider_id_fkey FOREIGN KEY (root_provider_id) REFERENCES resource_providers(id);
CREATE INDEX aggregate_metadata_key_idx ON aggregate_metadata USING btree (key);
CREATE INDEX aggregate_uuid_idx ON aggregates USING btree (uuid);
CREATE INDEX allocations_consumer_id_idx ON allocations USING btree (consumer_id);
CREATE INDEX allocations_resource_class_id_idx ON allocations USING btree (resource_class_id);
CREATE INDEX allocations_resource_provider_class_used_idx ON allocations USING btree (resource_provider_id, resource_class_id, used);
CREATE INDEX build_requests_instance_uuid_idx ON build_requests USING btree (instance_uuid);
CREATE INDEX build_requests_project_id_idx ON build_requests USING btree (project_id);
CREATE INDEX uuid_idx ON cell_mappings USING btree (uuid);
CREATE INDEX consumers_project_id_user_id_uuid_idx ON consumers USING btree (project_id, user_id, uuid);
CREATE INDEX consumers_project_id_uuid_idx ON consumers USING btree (project_id, uuid);
CREATE INDEX flavor_extra_specs_flavor_id_key_idx ON flavor_extra_specs USING btree (flavor_id, key);
CREATE INDEX host_idx ON host_mappings USING btree (host);
CREATE INDEX instance_group_member_instance_idx ON instance_group_member USING btree (instance_uuid);
CREATE INDEX instance_group_policy_policy_idx ON instance_group_policy USING btree (policy);
CREATE INDEX instance_mappings_user_id_project_id_idx ON instance_mappings USING btree (user_id, project_id);
CREATE INDEX instance_uuid_idx ON instance_mappings USING btree (instance_uuid);
CREATE INDEX project_id_idx ON instance_mappings USING btree (project_id);
CREATE INDEX inventories_resource_class_id_idx ON inventories USING btree (resource_class_id);
CREATE INDEX inventories_resource_provider_id_idx ON inventories USING btree (resource_provider_id);
CREATE INDEX inventories_resource_provider_resource_class_idx ON inventories USING btree (resource_provider_id, resource_class_id);
CREATE INDEX ix_placement_aggregates_uuid ON placement_aggregates USING btree (uuid);
CREATE INDEX project_user_quotas_project_id_idx ON project_user_quotas USING btree (project_id);
CREATE INDEX project_user_quotas_user_id_idx ON project_user_quotas USING btree (user_id);
CREATE INDEX quota_classes_class_name_idx ON quota_classes USING btree (class_name);
CREATE INDEX quota_usages_project_id_idx ON quota_usages USING btree (project_id);
CREATE INDEX quota_usages_user_id_idx ON quota_usages USING btree (user_id);
CREATE INDEX request_spec_instance_uuid_idx ON request_specs USING btree (instance_uuid);
CREATE INDEX reservations_expire_idx ON reservations USING btree (expire);
CREATE INDEX reservations_project_id_idx ON reservations USING btree (project_id);
CREATE INDEX reservations_user_id_idx ON reservations USING btree (user_id);
CREATE INDEX reservations_uuid_idx ON reservations USING btree (uuid);
CREATE INDEX resource_provider_aggregates_aggregate_id_idx ON resource_provider_aggregates USING btree (aggregate_id);
CREATE INDEX resource_provider_traits_resource_provider_trait_idx ON resource_provider_traits USING btree (resource_provider_id, trait_id);
CREATE INDEX resource_providers_name_idx ON resource_providers USING btree (name);
CREATE INDEX resource_providers_parent_provider_id_idx ON resource_providers USING btree (parent_provider_id);
CREATE INDEX resource_providers_root_provider_id_idx ON resource_providers USING btree (root_provider_id);
CREATE INDEX resource_providers_uuid_idx ON resource_providers USING btree (uuid);
INSERT INTO alembic_version VALUES ('cdeec0c85668');
