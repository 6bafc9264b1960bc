-- How far an agent may go with a tool, and the newest outcomes by which that may be tightened.

create table modes (
    tenant text not null,
    agent text not null,
    tool text not null,
    body blob not null,
    primary key (tenant, agent, tool)
) without rowid;

alter table breakers add column recent text not null default '';

pragma user_version = 4;
