-- Names that count once, such as those of signed assertions, until their time is over.

create table used_once (
    tenant text not null,
    name text not null,
    until_us integer not null,
    primary key (tenant, name)
) without rowid;

create index used_once_over on used_once (tenant, until_us);

pragma user_version = 11;
