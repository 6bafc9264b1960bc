-- Reading. What a batch locks it locks in the order of the keys, budgets last.

-- name: schema_table
-- The table that says which migrations this database has had; null in an empty database.
select to_regclass('schema_versions');

-- name: schema_version
-- The newest migration, and the oldest program that works with what they all leave. The column of
-- the latter came with the second migration.
select coalesce(max(version), 0),
    coalesce(max(cast(to_jsonb(each) ->> 'oldest' as integer)), 1) from schema_versions each;

-- name: make_schema_table!
-- Kept by the migrations themselves.
create table schema_versions (version integer primary key, made_at timestamptz not null);

-- name: migrated!
-- One migration more.
insert into schema_versions (version, made_at) values (:version, clock_timestamp());

-- name: drain!
-- Wait until every transaction is over, each of which has looked at this table, and keep new ones
-- waiting until this one is.
lock table schema_versions in access exclusive mode;

-- name: retire!
-- Programs older than that may not use the database any more.
update schema_versions set oldest = :oldest where version = :oldest;

-- name: fence
-- The oldest program that may write; looked at first in every transaction.
select max(oldest) from schema_versions;

-- name: migration_lock
-- One process migrates; the others wait for it. Given back with the transaction.
select pg_advisory_xact_lock(hashtextextended('bailiwick schema', 0));

-- name: durable
-- Every commit is on the disk before it is answered, whatever the database's default is.
select set_config('synchronous_commit', 'on', false)
where current_setting('synchronous_commit') = 'off';

-- name: indexed
-- A batch looks up rows by their keys, which is right before the server has statistics as well, and
-- needs no other plan for other keys: planning anew would cost more than the looking up.
select set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false), set_config('jit', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false);

-- name: patience
-- Who stands still in a transaction (a stopped process) is disconnected, and nobody waits for him.
select set_config('idle_in_transaction_session_timeout', :idle, false),
    set_config('lock_timeout', :lock, false);

-- name: clock
-- The store's clock.
select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint);

-- name: listen!
-- Be told of actions that moved.
listen bailiwick;

-- name: begin!
-- Each statement sees what was committed before it began.
begin isolation level read committed;

-- name: commit!
-- The commit point.
commit;

-- name: rollback!
-- Leave no trace.
rollback;

-- name: fate
-- What became of a transaction whose COMMIT was not answered.
select pg_xact_status(cast(cast(:transaction as text) as xid8));

-- name: is_record
-- Whether a record is the one that was written under its number.
select exists (select 1 from records where seq = :seq and hash = :hash);

-- name: share_control
-- In a commit: control stands still, and other commits go on.
select pg_advisory_xact_lock_shared(hashtextextended('bailiwick control ' || tenant, 0))
from unnest(cast(:tenants as text[])) as tenant;

-- name: hold_control
-- In a control change: nothing commits beside it.
select pg_advisory_xact_lock(hashtextextended('bailiwick control ' || tenant, 0))
from unnest(cast(:tenants as text[])) as tenant;

-- name: transaction
-- The store's clock inside the transaction, the number by which its fate can be asked for, the
-- oldest program that may write, numbers for the batch's records, and the control rows. A statement
-- after that of the control lock, so that it sees every change that was made before.
select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint),
    cast(pg_current_xact_id() as text), (select max(oldest) from schema_versions),
    array(select nextval('record_numbers') from generate_series(1, :count)),
    array(select tenant from control where tenant = any(:tenants) order by tenant),
    array(select epoch from control where tenant = any(:tenants) order by tenant),
    array(select release from control where tenant = any(:tenants) order by tenant);

-- name: lock_actions
-- What is moved or settled, or whether an id is taken.
select tenant, id, version, holds from actions
where (tenant, id) in (select * from unnest(cast(:tenant as text[]), cast(:id as text[])))
order by tenant, id for update;

-- name: read_names
-- Which attempts of owners under names are there already.
select tenant, agent, subject, name, attempt from actions
where (tenant, agent, subject, name, attempt) in (
    select * from unnest(cast(:tenant as text[]), cast(:agent as text[]), cast(:subject as text[]),
        cast(:name as text[]), cast(:attempt as integer[])));

-- name: read_effect_keys
-- Who holds effect keys.
select tenant, key, action from effect_keys
where (tenant, key) in (select * from unnest(cast(:tenant as text[]), cast(:key as text[])));

-- name: lock_approvals
-- Approval requests that are opened, closed or voted on.
select tenant, action, request_digest, state, expires_at_us, body from approvals
where (tenant, action) in (select * from unnest(cast(:tenant as text[]), cast(:action as text[])))
order by tenant, action for update;

-- name: lock_notices
-- Notices that are written or moved.
select tenant, id, state, due_at_us, attempts, body from notices
where (tenant, id) in (select * from unnest(cast(:tenant as text[]), cast(:id as text[])))
order by tenant, id for update;

-- name: read_votes
-- Which votes are cast already.
select tenant, action, person, request_digest, body from votes
where (tenant, action, person, request_digest) in (
    select * from unnest(cast(:tenant as text[]), cast(:action as text[]), cast(:person as text[]),
        cast(:request_digest as text[])));

-- name: read_used_once
-- Which names were used.
select tenant, name, until_us from used_once
where (tenant, name) in (select * from unnest(cast(:tenant as text[]), cast(:name as text[])));

-- name: lock_runs
-- Runs that begin, if they have begun; whose waiting is counted; that lose their key.
select tenant, id, agent, wrapped_key, started_at_us, parked_us, parked_until_us from runs
where (tenant, id) in (select * from unnest(cast(:tenant as text[]), cast(:id as text[])))
order by tenant, id for update;

-- name: read_kept
-- How many actions of runs are not erased, as far as that matters, and whether any is not settled.
select each.tenant, each.run, (
    select count(*) from (
        select from actions a where a.tenant = each.tenant and a.run = each.run and not a.erased
        limit 1001) few),
    exists (
        select from actions a where a.tenant = each.tenant and a.run = each.run and not a.erased
        and (a.contradicted or a.state in ('parked', 'intended', 'unknown')))
from unnest(cast(:tenant as text[]), cast(:run as text[])) as each (tenant, run);

-- name: lock_breakers
-- Targets whose failures are counted.
select tenant, target, failures, open_until_us, recent from breakers
where (tenant, target) in (select * from unnest(cast(:tenant as text[]), cast(:target as text[])))
order by tenant, target for update;

-- name: lock_stops
-- Switches that are pulled or lifted.
select tenant, scope, target, body from stops
where (tenant, scope, target) in (
    select * from unnest(cast(:tenant as text[]), cast(:scope as text[]), cast(:target as text[])))
order by tenant, scope, target for update;

-- name: lock_changes
-- Control changes that are decided.
select tenant, id, kind, body, proposed_by, expires_at_us, state, decided_by from changes
where (tenant, id) in (select * from unnest(cast(:tenant as text[]), cast(:id as text[])))
order by tenant, id for update;

-- name: lock_budgets
-- The balances that are taken from, and those that the settled actions hold from: in one order for
-- every process, the tenant's own, which all share, last.
select b.tenant, b.node, b.unit, b.bucket, b.spent, b.held
from budgets b join (
    select * from unnest(cast(:tenant as text[]), cast(:node as text[]), cast(:unit as text[]),
        cast(:bucket as text[]))
    union
    select a.tenant, hold ->> 0, hold ->> 1, hold ->> 2
    from actions a cross join lateral jsonb_array_elements(cast(a.holds as jsonb)) hold
    where (a.tenant, a.id) in (
        select * from unnest(cast(:settled_tenant as text[]), cast(:settled as text[])))
) wanted (tenant, node, unit, bucket) using (tenant, node, unit, bucket)
order by b.tenant, b.node = 'tenant', b.node, b.unit, b.bucket for update of b;

-- What `doctor` looks at.

-- name: server_version
-- As people write it.
select split_part(current_setting('server_version'), ' ', 1);

-- name: server
-- Who we are and where: the data folder only if this role may see it.
select current_user, (select rolsuper from pg_roles where rolname = current_user),
    pg_is_in_recovery() or current_setting('transaction_read_only') = 'on',
    (select count(*) from pg_stat_activity where backend_type = 'client backend'),
    pg_database_size(current_database()), pg_has_role('pg_read_all_stats', 'member'),
    case when pg_has_role('pg_read_all_settings', 'member')
        then current_setting('data_directory') end;

-- name: in_force
-- Settings as they hold on this connection.
select name, setting from pg_settings where name in ('fsync', 'full_page_writes',
    'synchronous_commit', 'synchronous_standby_names', 'max_connections');

-- name: standbys
-- Streaming replicas.
select coalesce(nullif(application_name, ''), 'unnamed'), coalesce(sync_state, 'async')
from pg_stat_replication order by 1;

-- name: lacking_rights
-- Tables and sequences of ours that this role may not use as it must.
select relname from pg_class
where relnamespace = cast(current_schema() as regnamespace) and (
    relkind = 'r' and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert')
        and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))
    or relkind = 'S' and not has_sequence_privilege(oid, 'usage'))
order by relname;

-- Writing. Each statement writes all of a batch's rows of a table, in the order of their keys.

-- name: put_control
-- A tenant's epoch and active release; under the exclusive lock.
insert into control (tenant, epoch, release)
select * from unnest(cast(:tenant as text[]), cast(:epoch as bigint[]), cast(:release as text[]))
on conflict (tenant) do update set epoch = excluded.epoch, release = excluded.release;

-- name: delete_stops
-- Switches that are lifted.
delete from stops where (tenant, scope, target) in (
    select * from unnest(cast(:tenant as text[]), cast(:scope as text[]), cast(:target as text[])));

-- name: insert_stops
-- Switches that are pulled.
insert into stops (tenant, scope, target, body)
select * from unnest(cast(:tenant as text[]), cast(:scope as text[]), cast(:target as text[]),
    cast(:body as bytea[]));

-- name: put_agents
-- Agents' accounts, new or changed.
insert into agents (tenant, name, body)
select * from unnest(cast(:tenant as text[]), cast(:name as text[]), cast(:body as bytea[]))
on conflict (tenant, name) do update set body = excluded.body;

-- name: put_modes
-- How far agents may go with tools; a new setting stands instead of the old one.
insert into modes (tenant, agent, tool, body)
select * from unnest(cast(:tenant as text[]), cast(:agent as text[]), cast(:tool as text[]),
    cast(:body as bytea[]))
on conflict (tenant, agent, tool) do update set body = excluded.body;

-- name: put_mandates
-- What people signed ahead, new or as it stands now.
insert into mandates (tenant, id, counts_until_us, body)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]),
    cast(:counts_until_us as bigint[]), cast(:body as bytea[]))
on conflict (tenant, id) do update set counts_until_us = excluded.counts_until_us,
    body = excluded.body;

-- name: put_mandate_uses
-- Actions that drew on what people signed ahead.
insert into mandate_uses (tenant, mandate, action)
select * from unnest(cast(:tenant as text[]), cast(:mandate as text[]), cast(:action as text[]))
on conflict do nothing;

-- name: put_legal_holds
-- Legal holds, new or lifted.
insert into legal_holds (tenant, kind, target, body)
select * from unnest(cast(:tenant as text[]), cast(:kind as text[]), cast(:target as text[]),
    cast(:body as bytea[]))
on conflict (tenant, kind, target) do update set body = excluded.body;

-- name: put_rounds
-- How far the house's rounds got.
insert into rounds (tenant, name, reached, due_at_us)
select * from unnest(cast(:tenant as text[]), cast(:name as text[]), cast(:reached as text[]),
    cast(:due_at_us as bigint[]))
on conflict (tenant, name) do update set reached = excluded.reached,
    due_at_us = excluded.due_at_us;

-- name: insert_notices
-- New notices; one that another process wrote meanwhile fails here.
insert into notices (tenant, id, state, due_at_us, attempts, body)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:state as text[]),
    cast(:due_at_us as bigint[]), cast(:attempts as integer[]), cast(:body as bytea[]));

-- name: update_notices!
-- Notices after an attempt, which gives their lease back; their rows are locked.
update notices set state = new.state, due_at_us = new.due_at_us, attempts = new.attempts,
    body = new.body, lease_until_us = null
from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:state as text[]),
    cast(:due_at_us as bigint[]), cast(:attempts as integer[]), cast(:body as bytea[]))
    as new (tenant, id, state, due_at_us, attempts, body)
where notices.tenant = new.tenant and notices.id = new.id;

-- name: put_revocations
-- Revocation is for good; the first reason stands.
insert into revocations (tenant, id, by_person, reason, at_us)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:by_person as text[]),
    cast(:reason as text[]), cast(:at_us as bigint[]))
on conflict do nothing;

-- name: insert_used_once
-- Names that count once; one that another process wrote meanwhile fails here. Some of those whose
-- time is over are forgotten; those that another process deletes just now are left to it.
with gone as (
    delete from used_once where (tenant, name) in (
        select tenant, name from used_once
        where until_us <= (cast(:now_us as bigint[]))[1]
        limit 100 for update skip locked))
insert into used_once (tenant, name, until_us)
select * from unnest(cast(:tenant as text[]), cast(:name as text[]), cast(:until_us as bigint[]));

-- name: put_people
-- People's accounts, new or changed.
insert into people (tenant, name, body, secret)
select * from unnest(cast(:tenant as text[]), cast(:name as text[]), cast(:body as bytea[]),
    cast(:secret as bytea[]))
on conflict (tenant, name) do update set body = excluded.body, secret = excluded.secret;

-- name: put_carried
-- What data runs were shown.
insert into carried (tenant, run, data_class)
select * from unnest(cast(:tenant as text[]), cast(:run as text[]), cast(:data_class as text[]))
on conflict do nothing;

-- name: put_releases
-- A release is its content: storing it twice changes nothing.
insert into releases (tenant, digest, body, created_at_us)
select * from unnest(cast(:tenant as text[]), cast(:digest as text[]), cast(:body as bytea[]),
    cast(:created_at_us as bigint[]))
on conflict do nothing;

-- name: insert_changes
-- Control changes that wait for a second person.
insert into changes (tenant, id, kind, body, proposed_by, expires_at_us, state, decided_by)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:kind as text[]),
    cast(:body as bytea[]), cast(:proposed_by as text[]), cast(:expires_at_us as bigint[]),
    cast(:state as text[]), cast(:decided_by as text[]));

-- name: update_changes!
-- Control changes that are decided.
update changes set state = new.state, decided_by = new.decided_by
from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:state as text[]),
    cast(:decided_by as text[])) as new (tenant, id, state, decided_by)
where changes.tenant = new.tenant and changes.id = new.id;

-- name: insert_runs
-- A run begins with its first committed action; the first vault key stands.
insert into runs (tenant, id, agent, wrapped_key, started_at_us, parked_us, parked_until_us)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:agent as text[]),
    cast(:wrapped_key as bytea[]), cast(:started_at_us as bigint[]), cast(:parked_us as bigint[]),
    cast(:parked_until_us as bigint[]));

-- name: update_runs!
-- How long runs have waited for people, and their keys, if they were dropped or given anew.
update runs set wrapped_key = new.wrapped_key, parked_us = new.parked_us,
    parked_until_us = new.parked_until_us
from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:wrapped_key as bytea[]),
    cast(:parked_us as bigint[]), cast(:parked_until_us as bigint[]))
    as new (tenant, id, wrapped_key, parked_us, parked_until_us)
where runs.tenant = new.tenant and runs.id = new.id;

-- name: delete_effect_keys
-- Effect keys that are given up, or change hands.
delete from effect_keys where (tenant, key) in (
    select * from unnest(cast(:tenant as text[]), cast(:key as text[])));

-- name: insert_effect_keys
-- One live action an effect key: who comes second fails here, and looks again.
insert into effect_keys (tenant, key, action)
select * from unnest(cast(:tenant as text[]), cast(:key as text[]), cast(:action as text[]));

-- name: insert_actions
-- New actions; a name or an id that somebody took meanwhile fails here.
insert into actions (tenant, id, agent, subject, name, attempt, state, version, resource,
    park_until_us, lease_owner, lease_until_us, updated_at_us, body, holds, records, run)
select * from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:agent as text[]),
    cast(:subject as text[]), cast(:name as text[]), cast(:attempt as integer[]),
    cast(:state as text[]), cast(:version as integer[]), cast(:resource as text[]),
    cast(:park_until_us as bigint[]), cast(:lease_owner as text[]),
    cast(:lease_until_us as bigint[]), cast(:updated_at_us as bigint[]), cast(:body as bytea[]),
    cast(:holds as text[]), cast(:records as text[]), cast(:run as text[]));

-- name: update_actions!
-- Actions that moved; their rows are locked since their versions were compared.
update actions set state = new.state, version = new.version,
    resource = case when new.ended then actions.resource else new.resource end,
    park_until_us = new.park_until_us, lease_owner = new.lease_owner,
    lease_until_us = new.lease_until_us, updated_at_us = new.updated_at_us, body = new.body,
    holds = new.holds, records = actions.records || new.records,
    contradicted = new.contradicted, erased = new.erased
from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:state as text[]),
    cast(:version as integer[]), cast(:resource as text[]), cast(:park_until_us as bigint[]),
    cast(:lease_owner as text[]), cast(:lease_until_us as bigint[]),
    cast(:updated_at_us as bigint[]), cast(:body as bytea[]), cast(:holds as text[]),
    cast(:records as text[]), cast(:ended as boolean[]), cast(:contradicted as boolean[]),
    cast(:erased as boolean[]))
    as new (tenant, id, state, version, resource, park_until_us, lease_owner, lease_until_us,
    updated_at_us, body, holds, records, ended, contradicted, erased)
where actions.tenant = new.tenant and actions.id = new.id;

-- name: insert_approvals
-- New requests; one that another process opened meanwhile fails here.
insert into approvals (tenant, action, request_digest, state, expires_at_us, body)
select * from unnest(cast(:tenant as text[]), cast(:action as text[]),
    cast(:request_digest as text[]), cast(:state as text[]), cast(:expires_at_us as bigint[]),
    cast(:body as bytea[]));

-- name: update_approvals!
-- Requests as they stand; a new digest replaces the request, not the votes on the old.
update approvals set request_digest = new.request_digest, state = new.state,
    expires_at_us = new.expires_at_us, body = new.body
from unnest(cast(:tenant as text[]), cast(:action as text[]), cast(:request_digest as text[]),
    cast(:state as text[]), cast(:expires_at_us as bigint[]), cast(:body as bytea[]))
    as new (tenant, action, request_digest, state, expires_at_us, body)
where approvals.tenant = new.tenant and approvals.action = new.action;

-- name: insert_votes
-- One vote a person and request.
insert into votes (tenant, action, person, request_digest, body)
select * from unnest(cast(:tenant as text[]), cast(:action as text[]), cast(:person as text[]),
    cast(:request_digest as text[]), cast(:body as bytea[]));

-- name: delete_payloads
-- Payloads that are erased.
delete from payloads where (tenant, action) in (
    select * from unnest(cast(:tenant as text[]), cast(:action as text[])));

-- name: put_payloads
-- Sealed payloads.
insert into payloads (tenant, action, kind, run, sealed, commitment)
select * from unnest(cast(:tenant as text[]), cast(:action as text[]), cast(:kind as text[]),
    cast(:run as text[]), cast(:sealed as bytea[]), cast(:commitment as text[]))
on conflict (tenant, action, kind) do update set sealed = excluded.sealed,
    commitment = excluded.commitment;

-- name: list_records!
-- Records about actions that their own rows did not write (a vote, say).
update actions set records = actions.records || new.records
from unnest(cast(:tenant as text[]), cast(:id as text[]), cast(:records as text[]))
    as new (tenant, id, records)
where actions.tenant = new.tenant and actions.id = new.id;

-- name: insert_records
-- Ledger records, which wait for their leaves.
with added as (
    insert into records (seq, tenant, kind, action, body, hash)
    select * from unnest(cast(:seq as bigint[]), cast(:tenant as text[]), cast(:kind as text[]),
        cast(:action as text[]), cast(:body as bytea[]), cast(:hash as text[]))
    returning seq
)
insert into unsequenced (record) select seq from added;

-- name: insert_breakers
-- Targets' first failures; one that another process counted meanwhile fails here.
insert into breakers (tenant, target, failures, open_until_us, recent)
select * from unnest(cast(:tenant as text[]), cast(:target as text[]),
    cast(:failures as integer[]), cast(:open_until_us as bigint[]), cast(:recent as text[]));

-- name: update_breakers!
-- Targets' failures; their rows are locked since they were read.
update breakers set failures = new.failures, open_until_us = new.open_until_us,
    recent = new.recent
from unnest(cast(:tenant as text[]), cast(:target as text[]), cast(:failures as integer[]),
    cast(:open_until_us as bigint[]), cast(:recent as text[]))
    as new (tenant, target, failures, open_until_us, recent)
where breakers.tenant = new.tenant and breakers.target = new.target;

-- name: insert_budgets
-- Balances that begin; one that another process began meanwhile fails here.
insert into budgets (tenant, node, unit, bucket, spent, held)
select * from unnest(cast(:tenant as text[]), cast(:node as text[]), cast(:unit as text[]),
    cast(:bucket as text[]), cast(:spent as bigint[]), cast(:held as bigint[]));

-- name: update_budgets!
-- Balances as the batch leaves them; their rows are locked since they were read.
update budgets set spent = new.spent, held = new.held
from unnest(cast(:tenant as text[]), cast(:node as text[]), cast(:unit as text[]),
    cast(:bucket as text[]), cast(:spent as bigint[]), cast(:held as bigint[]))
    as new (tenant, node, unit, bucket, spent, held)
where budgets.tenant = new.tenant and budgets.node = new.node and budgets.unit = new.unit
    and budgets.bucket = new.bucket;

-- name: tell
-- Tell the other processes, once this is committed.
select pg_notify('bailiwick', told) from unnest(cast(:told as text[])) as told;

-- What the doors read.

-- name: epochs
-- Control epochs as committed now.
select tenant, epoch from control where tenant = any(:tenants);

-- name: control
-- All that the epoch fences, of one moment.
select coalesce(max(epoch), 0), max(release),
    array(select body from stops where tenant = :tenant order by scope, target),
    array(select body from agents where tenant = :tenant order by name),
    array(select id from revocations where tenant = :tenant),
    array(select body from modes where tenant = :tenant order by agent, tool),
    array(select body from mandates
        where tenant = :tenant and counts_until_us > :now_us order by id),
    array(select body from legal_holds where tenant = :tenant order by kind, target)
from control where tenant = :tenant;

-- name: newest_mandates
-- What people signed ahead, whether it still counts or not.
select body from mandates where tenant = :tenant order by id desc limit 1000;

-- name: mandate_uses
-- The actions that drew on a mandate.
select action from mandate_uses where tenant = :tenant and mandate = :mandate order by action;

-- name: due_notices
-- Waiting notices that are due, leased to one ticker; what another is claiming is passed over.
update notices set lease_until_us = :until_us
where (tenant, id) in (
    select tenant, id from notices
    where tenant = :tenant and state = 'waiting' and due_at_us <= :now_us
      and (lease_until_us is null or lease_until_us <= :now_us)
    order by due_at_us limit 64 for update skip locked)
returning body;

-- name: undelivered_notices
-- What could not be delivered, or not yet.
select body from notices
where tenant = :tenant and (state = 'failed' or (state = 'waiting' and attempts > 0))
order by due_at_us desc limit 100;

-- name: find_action
-- The owner's newest attempt under a name.
select body from actions
where tenant = :tenant and agent = :agent and subject = :subject and name = :name
order by attempt desc limit 1;

-- name: action_row
-- An action by its id.
select body from actions where tenant = :tenant and id = :id;

-- name: approval_row
-- An approval request with the votes on it as it stands.
select state, body, array(
    select v.body from votes v
    where v.tenant = p.tenant and v.action = p.action and v.request_digest = p.request_digest
    order by v.person)
from approvals p where tenant = :tenant and action = :action;

-- name: payload
-- A sealed payload and its run.
select run, sealed from payloads where tenant = :tenant and action = :action and kind = :kind;

-- name: run_row
-- A run's vault key, its times, and what data it was shown.
select wrapped_key, started_at_us, parked_us, parked_until_us,
    (select string_agg(data_class, ',') from carried where tenant = :tenant and run = :id)
from runs where tenant = :tenant and id = :id;

-- name: run_keys
-- Runs in the order of their ids with their vault keys, but for those that lost theirs.
select id, wrapped_key from runs
where tenant = :tenant and id > :after and wrapped_key <> '' order by id limit :limit;

-- name: rewrap_runs!
-- Runs' vault keys under another wrapping key, unless somebody was first.
update runs set wrapped_key = new.wrapped_key
from unnest(cast(:id as text[]), cast(:seen as bytea[]), cast(:wrapped_key as bytea[]))
    as new (id, seen, wrapped_key)
where runs.tenant = :tenant and runs.id = new.id and runs.wrapped_key = new.seen;

-- name: run_kept
-- A run's actions whose payloads are not erased, oldest first.
select body from actions
where tenant = :tenant and run = :run and not erased and id > :after order by id limit :limit;

-- name: round
-- When a round goes on.
select due_at_us from rounds where tenant = :tenant and name = :name;

-- name: claim_round
-- A round that is due, for a while.
insert into rounds (tenant, name, reached, due_at_us) values (:tenant, :name, '', :until_us)
on conflict (tenant, name) do update set due_at_us = excluded.due_at_us
where rounds.due_at_us <= :now_us returning reached;

-- name: balances
-- What nodes have spent and hold in their buckets.
select node, unit, bucket, spent, held from budgets
where tenant = :tenant and (node, unit, bucket) in (
    select * from unnest(cast(:node as text[]), cast(:unit as text[]), cast(:bucket as text[])));

-- name: breaker
-- A target's recent failures.
select failures, open_until_us, recent from breakers where tenant = :tenant and target = :target;

-- name: touched_since
-- Other writes on a resource that were in flight or ended after a time.
select id from actions
where tenant = :tenant and resource = :resource and updated_at_us >= :since_us
  and state in ('intended', 'done', 'unknown') order by id;

-- name: effect_holder
-- Who holds an effect key.
select action from effect_keys where tenant = :tenant and key = :key;

-- name: actions
-- The newest actions, for people.
select body from actions
where tenant = :tenant and (:any_state or state = any(:states))
  and (cast(:before as text) is null or id < :before)
order by id desc limit :limit;

-- name: open_actions
-- The newest actions in open states; the condition is the index's own.
select body from actions
where tenant = :tenant and state = any(:states) and state in ('parked', 'intended', 'unknown')
  and (cast(:before as text) is null or id < :before)
order by id desc limit :limit;

-- name: contradicted_actions
-- The newest actions whose outcome the world contradicts.
select body from actions
where tenant = :tenant and contradicted and (cast(:before as text) is null or id < :before)
order by id desc limit :limit;

-- name: proposals
-- The newest actions with their sealed proposals.
select a.body, p.sealed from (
    select tenant, id, body from actions
    where tenant = :tenant and id < :before and id >= :since
      and (cast(:agent as text) is null or agent = :agent)
    order by id desc limit :limit) a
left join payloads p on p.tenant = a.tenant and p.action = a.id and p.kind = 'proposal'
order by a.id desc;

-- name: approvals
-- Approval requests in some states, oldest first, each with its votes.
select p.state, p.body, array(
    select v.body from votes v
    where v.tenant = p.tenant and v.action = p.action and v.request_digest = p.request_digest
    order by v.person)
from approvals p where tenant = :tenant and state = any(:states) order by action;

-- name: people
-- All accounts of a tenant.
select body from people where tenant = :tenant order by name;

-- name: secret
-- A person's password hash and sealed key.
select secret from people where tenant = :tenant and name = :name;

-- name: releases
-- All releases, newest first.
select body from releases where tenant = :tenant order by created_at_us desc, digest;

-- name: activations
-- The records of which release decided from when on, in their order.
select seq, body from records where tenant = :tenant and kind = 'release' order by seq;

-- name: changes
-- The changes that wait.
select id, kind, body, proposed_by, expires_at_us from changes
where tenant = :tenant and state = 'waiting' and expires_at_us > :now_us order by id;

-- name: spending
-- Every node's balance in the current buckets.
select node, unit, bucket, spent, held from budgets
where tenant = :tenant and bucket in ('all', :day, :hour, :minute) order by node, unit, bucket;

-- name: tenants
-- Every tenant with a control row.
select tenant from control order by tenant;

-- name: in_doubt_count
-- How many outcomes nobody knows or the world contradicts, by the lists' own indexes.
select
  (select count(*) from actions where tenant = :tenant and state = 'unknown'
    and state in ('parked', 'intended', 'unknown'))
  + (select count(*) from actions where tenant = :tenant and contradicted);

-- name: any_stale_intents
-- Whether there is an action in flight whose lease has run out.
select 1 from actions
where tenant = :tenant and state = 'intended' and lease_until_us <= :now_us
  and not (id = any(:busy))
limit 1;

-- name: any_parked_actions
-- Whether there is a parked action that is due.
select 1 from actions a
left join approvals p on p.tenant = a.tenant and p.action = a.id
where a.tenant = :tenant and a.state = 'parked'
  and case when :decided then p.state in ('granted', 'denied')
      else a.park_until_us <= :now_us end
  and (a.lease_until_us is null or a.lease_until_us <= :now_us)
  and not (a.id = any(:busy))
limit 1;

-- name: stale_intents
-- Actions in flight whose lease has run out; what another process is claiming is passed over.
select body from actions
where tenant = :tenant and state = 'intended' and lease_until_us <= :now_us
  and not (id = any(:busy))
order by id limit 256 for update skip locked;

-- name: parked_actions
-- Parked actions that are due: decided on, or out of time.
select a.body from actions a
left join approvals p on p.tenant = a.tenant and p.action = a.id
where a.tenant = :tenant and a.state = 'parked'
  and case when :decided then p.state in ('granted', 'denied')
      else a.park_until_us <= :now_us end
  and (a.lease_until_us is null or a.lease_until_us <= :now_us)
  and not (a.id = any(:busy))
order by a.id limit 256 for update of a skip locked;

-- name: lease_actions!
-- The claimed actions, one version further, with their new lease.
update actions set version = new.version, lease_owner = :owner, lease_until_us = :until_us,
    body = new.body
from unnest(cast(:id as text[]), cast(:version as integer[]), cast(:body as bytea[]))
    as new (id, version, body)
where actions.tenant = :tenant and actions.id = new.id;

-- The log.

-- name: unsequenced
-- Records without a leaf. A record whose transaction commits late is still here when it does.
select r.seq, r.body from unsequenced u join records r on r.seq = u.record
order by u.record limit :limit;

-- name: extend
-- Give records the next leaves and keep the tree's new nodes, if the tree has still its old size.
-- Who swaps the size second waits for the first, finds another size, and writes nothing.
with grown as (
    update tree set size = :new_size where id = 1 and size = :old_size returning size
), placed as (
    insert into leaves (record, leaf_index)
    select record, leaf_index
    from unnest(cast(:record as bigint[]), cast(:leaf_index as bigint[])) as new (record, leaf_index)
    where exists (select from grown)
), kept as (
    insert into tree_nodes (level, position, hash)
    select level, position, hash
    from unnest(cast(:level as integer[]), cast(:position as bigint[]), cast(:node as bytea[]))
        as new (level, position, hash)
    where exists (select from grown)
    on conflict do nothing
), taken as (
    delete from unsequenced where record = any(:record) and exists (select from grown)
)
select count(*) from grown;

-- name: tree_size
-- How many records have a leaf index.
select size from tree where id = 1;

-- name: put_checkpoint!
-- The signed head for a size: the first one stands, and the witness's last word on it.
insert into checkpoints (size, note, cosignature) values (:size, :note, :cosignature)
on conflict (size) do update set
    cosignature = coalesce(excluded.cosignature, checkpoints.cosignature);

-- name: newest_checkpoint
-- The newest signed head, with what the witness said of it.
select size, note || coalesce(cosignature, '') from checkpoints order by size desc limit 1;

-- name: newest_cosigned
-- The newest signed head that the witness cosigned.
select size, note || cosignature from checkpoints where cosignature is not null
order by size desc limit 1;

-- name: records_of_control
-- The records of control changes and of the log's keys.
select r.seq, r.body, l.leaf_index from records r left join leaves l on l.record = r.seq
where r.kind in ('control', 'checkpoint_key') order by r.seq;

-- name: nodes
-- The hashes of complete subtrees.
select level, position, hash from tree_nodes
where (level, position) in (
    select * from unnest(cast(:level as integer[]), cast(:position as bigint[])));

-- name: records_from
-- Records in leaf order; one that was removed after it was sequenced comes back empty.
select l.record, coalesce(r.body, ''), l.leaf_index
from leaves l left join records r on r.seq = l.record
where l.leaf_index >= :first order by l.leaf_index limit :limit;

-- name: records_of
-- The records of one action, which its row lists, sequenced or not.
select each.seq, coalesce(r.body, ''), l.leaf_index
from actions a
cross join lateral unnest(cast(string_to_array(trim(trailing ',' from a.records), ',') as bigint[]))
    as each (seq)
left join records r on r.seq = each.seq left join leaves l on l.record = each.seq
where a.tenant = :tenant and a.id = :action order by each.seq;
