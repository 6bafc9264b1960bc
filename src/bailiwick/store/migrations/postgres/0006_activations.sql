-- expand: programs of the schema before go on working.
-- Which releases decided, in their order, is found in the records without looking through all.

create index records_of_releases on records (tenant, seq) where kind = 'release';
