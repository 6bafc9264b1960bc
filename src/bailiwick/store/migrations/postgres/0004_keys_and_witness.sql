-- expand: programs of the schema before go on working.
-- The few records by which keys and accepted heads are known, and what a witness said of a head.

create index records_of_control on records (seq) where kind in ('control', 'checkpoint_key');

alter table checkpoints add column cosignature text;

create index checkpoints_cosigned on checkpoints (size) where cosignature is not null;
