-- Which classes of data a run has been shown; it stays so.

create table carried (
    tenant text not null,
    run text not null,
    data_class text not null,
    primary key (tenant, run, data_class)
) without rowid;

pragma user_version = 10;
