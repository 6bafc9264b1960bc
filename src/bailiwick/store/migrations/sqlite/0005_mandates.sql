-- What people sign ahead of an action, and which actions drew on it.

create table mandates (
    tenant text not null,
    id text not null,
    counts_until_us integer not null,
    body blob not null,
    primary key (tenant, id)
) without rowid;

create table mandate_uses (
    tenant text not null,
    mandate text not null,
    action text not null,
    primary key (tenant, mandate, action)
) without rowid;

pragma user_version = 5;
