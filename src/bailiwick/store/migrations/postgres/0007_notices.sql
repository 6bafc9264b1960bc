-- expand: programs of the schema before go on working.
-- Notices to people, which the housekeeper delivers when they are due.

create table notices (
    tenant text collate "C" not null,
    id text collate "C" not null,
    state text not null,
    due_at_us bigint not null,
    attempts integer not null,
    lease_until_us bigint,
    body bytea not null,
    primary key (tenant, id)
);

create index notices_waiting on notices (due_at_us, tenant) where state = 'waiting';
create index notices_undelivered on notices (state, tenant, due_at_us)
    where state = 'failed' or (state = 'waiting' and attempts > 0);
