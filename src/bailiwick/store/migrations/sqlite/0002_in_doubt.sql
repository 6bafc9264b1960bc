-- What the world contradicts is found by an index of its own, however long the history is.

alter table actions add column contradicted integer not null default 0;

update actions set contradicted = 1
where state = 'done' and json_extract(cast(body as text), '$.verdict') = 'contradicted';

create index actions_contradicted on actions (tenant, id) where contradicted = 1;

pragma user_version = 2;
