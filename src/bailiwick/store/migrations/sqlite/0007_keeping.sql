-- What a run has kept is found by an index that what is erased leaves; legal holds; the house's rounds.

alter table actions add column run text not null default '';
alter table actions add column erased integer not null default 0;

update actions set run = json_extract(cast(body as text), '$.run');

create index actions_by_run on actions (tenant, run, id) where erased = 0;

create table legal_holds (
    tenant text not null,
    kind text not null,
    target text not null,
    body blob not null,
    primary key (tenant, kind, target)
) without rowid;

create table rounds (
    tenant text not null,
    name text not null,
    reached text not null,
    due_at_us integer not null,
    primary key (tenant, name)
) without rowid;

pragma user_version = 7;
