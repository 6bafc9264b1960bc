-- The tables of one governed action: control, identity, limits, actions, vault, records, tree.

create table control (
    tenant text not null primary key,
    epoch integer not null,
    release text
) without rowid;

create table stops (
    tenant text not null,
    scope text not null,
    target text not null,
    body blob not null,
    primary key (tenant, scope, target)
) without rowid;

create table agents (
    tenant text not null,
    name text not null,
    body blob not null,
    primary key (tenant, name)
) without rowid;

create table revocations (
    tenant text not null,
    id text not null,
    by_person text not null,
    reason text not null,
    at_us integer not null,
    primary key (tenant, id)
) without rowid;

create table people (
    tenant text not null,
    name text not null,
    body blob not null,
    secret blob not null,
    primary key (tenant, name)
) without rowid;

create table releases (
    tenant text not null,
    digest text not null,
    body blob not null,
    created_at_us integer not null,
    primary key (tenant, digest)
);

create table changes (
    tenant text not null,
    id text not null,
    kind text not null,
    body blob not null,
    proposed_by text not null,
    expires_at_us integer not null,
    state text not null,
    decided_by text,
    primary key (tenant, id)
);

create table runs (
    tenant text not null,
    id text not null,
    agent text not null,
    wrapped_key blob not null,
    started_at_us integer not null,
    parked_us integer not null default 0,
    parked_until_us integer not null default 0,
    primary key (tenant, id)
) without rowid;

create table actions (
    tenant text not null,
    id text not null,
    agent text not null,
    subject text not null,
    name text not null,
    attempt integer not null,
    state text not null,
    version integer not null,
    resource text,
    park_until_us integer,
    lease_owner text,
    lease_until_us integer,
    updated_at_us integer not null,
    body blob not null,
    holds blob,
    records text not null default ''
);

create unique index actions_by_id on actions (tenant, id);
create unique index actions_by_name on actions (tenant, agent, subject, name, attempt);
create index actions_by_resource on actions (tenant, resource) where resource is not null;
create index actions_open on actions (tenant, state, id)
    where state in ('parked', 'intended', 'unknown');

create table effect_keys (
    tenant text not null,
    key text not null,
    action text not null,
    primary key (tenant, key)
) without rowid;

create table budgets (
    tenant text not null,
    node text not null,
    unit text not null,
    bucket text not null,
    spent integer not null,
    held integer not null,
    primary key (tenant, node, unit, bucket)
) without rowid;

create table approvals (
    tenant text not null,
    action text not null,
    request_digest text not null,
    state text not null,
    expires_at_us integer not null,
    body blob not null,
    primary key (tenant, action)
) without rowid;

create index approvals_by_state on approvals (tenant, state, action);

create table votes (
    tenant text not null,
    action text not null,
    person text not null,
    request_digest text not null,
    body blob not null,
    primary key (tenant, action, person, request_digest)
) without rowid;

create table payloads (
    tenant text not null,
    action text not null,
    kind text not null,
    run text not null,
    sealed blob not null,
    commitment text not null,
    primary key (tenant, action, kind)
) without rowid;

create table breakers (
    tenant text not null,
    target text not null,
    failures integer not null,
    open_until_us integer not null,
    primary key (tenant, target)
) without rowid;

-- A number is used again only if the newest record was removed, which `ledger verify` finds; keeping
-- count of numbers would cost each commit another page.
create table records (
    seq integer primary key,
    tenant text not null,
    kind text not null,
    action text,
    body blob not null,
    hash text not null
);

create table leaves (
    record integer primary key,
    leaf_index integer not null
);

create table tree_nodes (
    level integer not null,
    position integer not null,
    hash blob not null,
    primary key (level, position)
) without rowid;

create table tree (
    id integer primary key check (id = 1),
    size integer not null
);

insert into tree (id, size) values (1, 0);

create table checkpoints (
    size integer primary key,
    note text not null
);

pragma user_version = 1;
