-- expand: programs of the schema before go on working.
-- What people sign ahead of an action, and which actions drew on it.

create table mandates (
    tenant text collate "C" not null,
    id text collate "C" not null,
    counts_until_us bigint not null,
    body bytea not null,
    primary key (tenant, id)
);

create table mandate_uses (
    tenant text collate "C" not null,
    mandate text collate "C" not null,
    action text collate "C" not null,
    primary key (tenant, mandate, action)
);
