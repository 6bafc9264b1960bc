-- The tables of one governed action: control, identity, limits, actions, vault, records, tree.
-- Names are compared byte by byte ("C"), so that every process locks rows in the same order. Where a
-- table has several indexes each begins with another column: a planner without statistics takes any
-- index whose first column is given, and would look through all rows of a tenant.

create table control (
    tenant text collate "C" not null primary key,
    epoch bigint not null,
    release text
);

create table modes (
    tenant text collate "C" not null,
    agent text collate "C" not null,
    tool text collate "C" not null,
    body bytea not null,
    primary key (tenant, agent, tool)
);

create table stops (
    tenant text collate "C" not null,
    scope text collate "C" not null,
    target text collate "C" not null,
    body bytea not null,
    primary key (tenant, scope, target)
);

create table agents (
    tenant text collate "C" not null,
    name text collate "C" not null,
    body bytea not null,
    primary key (tenant, name)
);

create table revocations (
    tenant text collate "C" not null,
    id text collate "C" not null,
    by_person text not null,
    reason text not null,
    at_us bigint not null,
    primary key (tenant, id)
);

create table people (
    tenant text collate "C" not null,
    name text collate "C" not null,
    body bytea not null,
    secret bytea not null,
    primary key (tenant, name)
);

create table releases (
    tenant text collate "C" not null,
    digest text collate "C" not null,
    body bytea not null,
    created_at_us bigint not null,
    primary key (tenant, digest)
);

create table changes (
    tenant text collate "C" not null,
    id text collate "C" not null,
    kind text not null,
    body bytea not null,
    proposed_by text not null,
    expires_at_us bigint not null,
    state text not null,
    decided_by text,
    primary key (tenant, id)
);

create table runs (
    tenant text collate "C" not null,
    id text collate "C" not null,
    agent text not null,
    wrapped_key bytea not null,
    started_at_us bigint not null,
    parked_us bigint not null default 0,
    parked_until_us bigint not null default 0,
    primary key (tenant, id)
);

create table actions (
    tenant text collate "C" not null,
    id text collate "C" not null,
    agent text collate "C" not null,
    subject text collate "C" not null,
    name text collate "C" not null,
    attempt integer not null,
    state text not null,
    version integer not null,
    resource text collate "C",
    park_until_us bigint,
    lease_owner text,
    lease_until_us bigint,
    updated_at_us bigint not null,
    body bytea not null,
    holds text,
    records text not null default '',
    contradicted boolean not null default false,
    primary key (id, tenant)
) with (fillfactor = 70);

create unique index actions_by_name on actions (name, subject, agent, tenant, attempt);
create index actions_by_resource on actions (resource, tenant) where resource is not null;
create index actions_open on actions (state, tenant, id)
    where state in ('parked', 'intended', 'unknown');
create index actions_contradicted on actions (tenant, id) where contradicted;

create table effect_keys (
    tenant text collate "C" not null,
    key text collate "C" not null,
    action text not null,
    primary key (tenant, key)
);

-- Few rows that every batch writes: room in each page keeps their new versions beside the old.
create table budgets (
    tenant text collate "C" not null,
    node text collate "C" not null,
    unit text collate "C" not null,
    bucket text collate "C" not null,
    spent bigint not null,
    held bigint not null,
    primary key (tenant, node, unit, bucket)
) with (fillfactor = 50);

create table approvals (
    tenant text collate "C" not null,
    action text collate "C" not null,
    request_digest text not null,
    state text not null,
    expires_at_us bigint not null,
    body bytea not null,
    primary key (action, tenant)
);

create index approvals_by_state on approvals (state, tenant, action);

create table votes (
    tenant text collate "C" not null,
    action text collate "C" not null,
    person text collate "C" not null,
    request_digest text collate "C" not null,
    body bytea not null,
    primary key (tenant, action, person, request_digest)
);

create table payloads (
    tenant text collate "C" not null,
    action text collate "C" not null,
    kind text collate "C" not null,
    run text not null,
    sealed bytea not null,
    commitment text not null,
    primary key (tenant, action, kind)
);

create table breakers (
    tenant text collate "C" not null,
    target text collate "C" not null,
    failures integer not null,
    open_until_us bigint not null,
    recent text not null default '',
    primary key (tenant, target)
);

-- Numbers are given out before they are written, so that an action's own row can list its records.
create sequence record_numbers;

create table records (
    seq bigint primary key,
    tenant text collate "C" not null,
    kind text not null,
    action text,
    body bytea not null,
    hash text not null
);

-- The records without a leaf. A record may be committed after one with a higher number that has its
-- leaf already: it waits here until it is placed.
create table unsequenced (
    record bigint primary key
);

create table leaves (
    record bigint not null,
    leaf_index bigint primary key
);

create unique index leaves_by_record on leaves (record);

create table tree_nodes (
    level integer not null,
    position bigint not null,
    hash bytea not null,
    primary key (level, position)
);

create table tree (
    id integer primary key check (id = 1),
    size bigint not null
);

insert into tree (id, size) values (1, 0);

create table checkpoints (
    size bigint primary key,
    note text not null
);
