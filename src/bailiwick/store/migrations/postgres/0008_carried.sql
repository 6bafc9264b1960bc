-- contract: a program of the schema before would not write down what a run carries.
-- Which classes of data a run has been shown; it stays so.

create table carried (
    tenant text collate "C" not null,
    run text collate "C" not null,
    data_class text collate "C" not null,
    primary key (tenant, run, data_class)
);
