-- Notices to people, which the housekeeper delivers when they are due.

create table notices (
    tenant text not null,
    id text not null,
    state text not null,
    due_at_us integer not null,
    attempts integer not null,
    lease_until_us integer,
    body blob not null,
    primary key (tenant, id)
) without rowid;

create index notices_waiting on notices (tenant, due_at_us) where state = 'waiting';
create index notices_undelivered on notices (tenant, due_at_us)
    where state = 'failed' or (state = 'waiting' and attempts > 0);

pragma user_version = 9;
