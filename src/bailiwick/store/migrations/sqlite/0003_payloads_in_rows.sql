-- What is short of an action's proposal and result lies in its row, which every commit writes anyway.

alter table actions add column proposal blob;
alter table actions add column result blob;

update actions set
    proposal = (select p.sealed from payloads p
        where p.tenant = actions.tenant and p.action = actions.id and p.kind = 'proposal'
          and length(p.sealed) <= 2048),
    result = (select p.sealed from payloads p
        where p.tenant = actions.tenant and p.action = actions.id and p.kind = 'result'
          and length(p.sealed) <= 2048);

delete from payloads where kind in ('proposal', 'result') and length(sealed) <= 2048;

pragma user_version = 3;
