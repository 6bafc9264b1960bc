-- contract: a program of the schema before would not name the run of an action, which erasing needs.
-- What a run has kept is found by an index that what is erased leaves; legal holds; the house's rounds.

alter table actions add column run text collate "C" not null default '';
alter table actions add column erased boolean not null default false;

update actions set run = cast(convert_from(body, 'UTF8') as json) ->> 'run';

create index actions_by_run on actions (run, tenant, id) where not erased;

create table legal_holds (
    tenant text collate "C" not null,
    kind text collate "C" not null,
    target text collate "C" not null,
    body bytea not null,
    primary key (tenant, kind, target)
);

create table rounds (
    tenant text collate "C" not null,
    name text collate "C" not null,
    reached text not null,
    due_at_us bigint not null,
    primary key (tenant, name)
);
