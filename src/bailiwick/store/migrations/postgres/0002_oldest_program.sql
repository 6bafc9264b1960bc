-- expand: programs of the schema before go on working.
-- Which program is the oldest that works with the database as a migration leaves it, by the number
-- of its own newest migration. Every transaction looks at it first.

alter table schema_versions add column if not exists oldest integer not null default 1;
