-- expand: programs of the schema before go on working.
-- Names that count once, such as those of signed assertions, until their time is over.

create table used_once (
    tenant text collate "C" not null,
    name text collate "C" not null,
    until_us bigint not null,
    primary key (tenant, name)
);

create index used_once_over on used_once (until_us);
