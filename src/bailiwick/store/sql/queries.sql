-- name: control_row^
-- The tenant's epoch and active release.
select epoch, release from control where tenant = :tenant;

-- name: put_control!
-- A tenant begins at epoch 1 without a release.
insert into control (tenant, epoch) values (:tenant, 1) on conflict do nothing;

-- name: raise_epoch!
-- Every control change moves the epoch, so that whatever was judged before is judged again.
update control set epoch = epoch + 1 where tenant = :tenant;

-- name: activate!
-- The release that decides from now on.
update control set release = :digest where tenant = :tenant;

-- name: tenants
-- Every tenant with a control row.
select tenant from control order by tenant;

-- name: stops
-- The pulled kill switches.
select body from stops where tenant = :tenant order by scope, target;

-- name: put_stop!
-- Pulling a pulled switch keeps the first reason.
insert into stops (tenant, scope, target, body) values (:tenant, :scope, :target, :body)
on conflict do nothing;

-- name: lift_stop!
-- Lift one switch.
delete from stops where tenant = :tenant and scope = :scope and target = :target;

-- name: modes
-- How far agents may go with tools.
select body from modes where tenant = :tenant order by agent, tool;

-- name: put_mode!
-- A new setting for an agent and a tool stands instead of the old one.
insert into modes (tenant, agent, tool, body) values (:tenant, :agent, :tool, :body)
on conflict (tenant, agent, tool) do update set body = excluded.body;

-- name: running_mandates
-- What people signed ahead and still counts.
select body from mandates where tenant = :tenant and counts_until_us > :now_us order by id;

-- name: newest_mandates
-- What people signed ahead, whether it still counts or not.
select body from mandates where tenant = :tenant order by id desc limit 1000;

-- name: put_mandate!
-- A mandate, new or as it stands now.
insert into mandates (tenant, id, counts_until_us, body)
values (:tenant, :id, :counts_until_us, :body)
on conflict (tenant, id) do update set counts_until_us = excluded.counts_until_us,
    body = excluded.body;

-- name: use_mandate!
-- An action that drew on a mandate.
insert into mandate_uses (tenant, mandate, action) values (:tenant, :mandate, :action)
on conflict do nothing;

-- name: mandate_uses
-- The actions that drew on a mandate.
select action from mandate_uses where tenant = :tenant and mandate = :mandate order by action;

-- name: legal_holds
-- The legal holds, lifted ones too.
select body from legal_holds where tenant = :tenant order by kind, target;

-- name: put_legal_hold!
-- A hold, new or lifted, stands instead of the old one.
insert into legal_holds (tenant, kind, target, body) values (:tenant, :kind, :target, :body)
on conflict (tenant, kind, target) do update set body = excluded.body;

-- name: put_notice!
-- Something to tell people, once.
insert into notices (tenant, id, state, due_at_us, attempts, body)
values (:tenant, :id, :state, :due_at_us, :attempts, :body) on conflict do nothing;

-- name: move_notice!
-- Compare-and-swap on the attempts.
update notices set state = :state, due_at_us = :due_at_us, attempts = :attempts,
    lease_until_us = null, body = :body
where tenant = :tenant and id = :id and state = 'waiting' and attempts = :attempts - 1;

-- name: due_notices
-- Waiting notices that are due and that nobody is delivering.
select id, body from notices
where tenant = :tenant and state = 'waiting' and due_at_us <= :now_us
  and (lease_until_us is null or lease_until_us <= :now_us)
order by due_at_us limit 64;

-- name: lease_notice!
-- One ticker delivers it for now.
update notices set lease_until_us = :until_us
where tenant = :tenant and id = :id and state = 'waiting'
  and (lease_until_us is null or lease_until_us <= :now_us);

-- name: undelivered_notices
-- What could not be delivered, or not yet.
select body from notices
where tenant = :tenant and (state = 'failed' or (state = 'waiting' and attempts > 0))
order by due_at_us desc limit 100;

-- name: escalate!
-- An open request as it stands after another queue may vote on it.
update approvals set body = :body where tenant = :tenant and action = :action and state = 'open';

-- name: standings
-- The agents' accounts.
select body from agents where tenant = :tenant order by name;

-- name: put_standing!
-- An agent's account, new or changed.
insert into agents (tenant, name, body) values (:tenant, :name, :body)
on conflict (tenant, name) do update set body = excluded.body;

-- name: revoked
-- Every id that lost its standing.
select id from revocations where tenant = :tenant;

-- name: revoke!
-- Revocation is for good; the first reason stands.
insert into revocations (tenant, id, by_person, reason, at_us)
values (:tenant, :id, :by, :reason, :at_us) on conflict do nothing;

-- name: use_once!
-- A name that counts once: none is written if it is there.
insert into used_once (tenant, name, until_us) values (:tenant, :name, :until_us)
on conflict do nothing;

-- name: forget_used!
-- Names whose time is over.
delete from used_once where tenant = :tenant and until_us <= :now_us;

-- name: put_person!
-- A person's account, new or changed.
insert into people (tenant, name, body, secret) values (:tenant, :name, :body, :secret)
on conflict (tenant, name) do update set body = excluded.body, secret = excluded.secret;

-- name: people
-- All accounts of a tenant.
select body from people where tenant = :tenant order by name;

-- name: secret^
-- A person's password hash and sealed key.
select secret from people where tenant = :tenant and name = :name;

-- name: put_release!
-- A release is its content: storing it twice changes nothing.
insert into releases (tenant, digest, body, created_at_us)
values (:tenant, :digest, :body, :created_at_us) on conflict do nothing;

-- name: releases
-- All releases, newest first.
select body from releases where tenant = :tenant order by created_at_us desc, digest;

-- name: put_change!
-- A control change that waits for a second person.
insert into changes (tenant, id, kind, body, proposed_by, expires_at_us, state)
values (:tenant, :id, :kind, :body, :proposed_by, :expires_at_us, 'waiting');

-- name: close_change!
-- Decide a waiting change; the proposer cannot.
update changes set state = :state, decided_by = :decided_by
where tenant = :tenant and id = :id and state = 'waiting' and expires_at_us > :now_us
  and (:state <> 'made' or proposed_by <> :decided_by);

-- name: activations
-- The records of which release decided from when on, in their order.
select seq, body from records where tenant = :tenant and kind = 'release' order by seq;

-- name: changes
-- The changes that wait.
select id, kind, body, proposed_by, expires_at_us from changes
where tenant = :tenant and state = 'waiting' and expires_at_us > :now_us order by id;

-- name: put_run!
-- A run begins with its first committed action; the first vault key stands until it is dropped.
insert into runs (tenant, id, agent, wrapped_key, started_at_us)
values (:tenant, :id, :agent, :wrapped_key, :now_us)
on conflict (tenant, id) do update set wrapped_key = excluded.wrapped_key
where runs.wrapped_key = x'';

-- name: drop_run_key!
-- A run without payloads needs no key.
update runs set wrapped_key = x'' where tenant = :tenant and id = :id;

-- name: run_open^
-- Something of a run that is not settled. The plus keeps to the index of what is open: it is short.
select 1 from actions where tenant = :tenant and +run = :run
  and state in ('parked', 'intended', 'unknown')
union all
select 1 from actions where tenant = :tenant and +run = :run and contradicted = 1
limit 1;

-- name: run_kept
-- A run's actions whose payloads are not erased, oldest first.
select body from actions
where tenant = :tenant and run = :run and erased = 0 and id > :after order by id limit :limit;

-- name: erase_action!
-- Payloads leave the row; compare-and-swap on the version.
update actions set version = :version, body = :body, erased = 1, proposal = null, result = null
where tenant = :tenant and id = :id and version = :version - 1;

-- name: erase_payloads!
-- Payloads that had a row of their own.
delete from payloads where tenant = :tenant and action = :id;

-- name: round^
-- When a round goes on.
select due_at_us from rounds where tenant = :tenant and name = :name;

-- name: claim_round^
-- A round that is due, for a while.
insert into rounds (tenant, name, reached, due_at_us) values (:tenant, :name, '', :until_us)
on conflict (tenant, name) do update set due_at_us = excluded.due_at_us
where rounds.due_at_us <= :now_us returning reached;

-- name: put_round!
-- How far a round got.
insert into rounds (tenant, name, reached, due_at_us) values (:tenant, :name, :reached, :due_at_us)
on conflict (tenant, name) do update set reached = excluded.reached,
    due_at_us = excluded.due_at_us;

-- name: run_row^
-- A run's vault key and its times.
select wrapped_key, started_at_us, parked_us, parked_until_us,
  (select group_concat(data_class) from carried where tenant = :tenant and run = :id)
from runs where tenant = :tenant and id = :id;

-- name: carry!
-- A run was shown data of a class.
insert into carried (tenant, run, data_class) values (:tenant, :run, :data_class) on conflict do nothing;

-- name: run_keys
-- Runs in the order of their ids with their vault keys, but for those that lost theirs.
select id, wrapped_key from runs
where tenant = :tenant and id > :after and wrapped_key <> x'' order by id limit :limit;

-- name: rewrap_run!
-- A run's vault key under another wrapping key, unless somebody was first.
update runs set wrapped_key = :wrapped_key
where tenant = :tenant and id = :id and wrapped_key = :seen;

-- name: add_parked!
-- Time spent waiting for people does not count as run time; overlapping waits count once.
update runs set
    parked_us = parked_us + max(0, :until_us - max(:since_us, parked_until_us)),
    parked_until_us = max(parked_until_us, :until_us)
where tenant = :tenant and id = :id;

-- name: insert_action!
-- A new action, unless its owner has this attempt under this name already.
insert into actions (tenant, id, agent, subject, name, attempt, state, version, resource,
    park_until_us, lease_owner, lease_until_us, updated_at_us, contradicted, body, holds, records,
    proposal, result, run)
values (:tenant, :id, :agent, :subject, :name, :attempt, :state, :version, :resource,
    :park_until_us, :lease_owner, :lease_until_us, :updated_at_us, :contradicted, :body, :holds,
    :records, :proposal, :result, :run)
on conflict do nothing;

-- name: move_action!
-- Compare-and-swap on the version.
update actions set state = :state, version = :version, resource = :resource,
    park_until_us = :park_until_us, lease_owner = :lease_owner,
    lease_until_us = :lease_until_us, updated_at_us = :updated_at_us,
    contradicted = :contradicted, body = :body,
    holds = case when :settled or :holds is not null then :holds else holds end,
    records = records || :records,
    proposal = coalesce(:proposal, proposal), result = coalesce(:result, result)
where tenant = :tenant and id = :id and version = :version - 1;

-- name: end_action!
-- The same for an intent's outcome, which cannot change the resource: its index stays as it is.
update actions set state = :state, version = :version, park_until_us = :park_until_us,
    lease_owner = :lease_owner, lease_until_us = :lease_until_us, updated_at_us = :updated_at_us,
    contradicted = :contradicted, body = :body,
    holds = case when :settled or :holds is not null then :holds else holds end,
    records = records || :records, result = coalesce(:result, result)
where tenant = :tenant and id = :id and version = :version - 1;

-- name: find_action^
-- The owner's newest attempt under a name.
select body from actions
where tenant = :tenant and agent = :agent and subject = :subject and name = :name
order by attempt desc limit 1;

-- name: action_row^
-- An action by its id.
select body from actions where tenant = :tenant and id = :id;

-- name: actions_newest
-- The newest actions, for people.
select body from actions where tenant = :tenant and id < :before order by id desc limit :limit;

-- name: actions_in_state
-- The newest actions in one state, for people.
select body from actions
where tenant = :tenant and state = :state and id < :before order by id desc limit :limit;

-- name: open_actions
-- The newest actions in one open state. The list of open states is the partial index's own
-- condition: without it the index could not be used.
select body from actions
where tenant = :tenant and state = :state and state in ('parked', 'intended', 'unknown')
  and id < :before order by id desc limit :limit;

-- name: contradicted_actions
-- The newest actions that were answered as done and that the world contradicts, unresolved.
select body from actions
where tenant = :tenant and contradicted = 1 and id < :before order by id desc limit :limit;

-- name: in_doubt_count^
-- How many outcomes nobody knows or the world contradicts, by the lists' own indexes.
select
  (select count(*) from actions where tenant = :tenant and state = 'unknown'
    and state in ('parked', 'intended', 'unknown'))
  + (select count(*) from actions where tenant = :tenant and contradicted = 1);

-- name: proposals
-- The newest actions with their sealed proposals, which lie in the rows unless they are long.
select a.body, coalesce(nullif(a.proposal, x''), (select p.sealed from payloads p
    where p.tenant = a.tenant and p.action = a.id and p.kind = 'proposal'))
from actions a
where a.tenant = :tenant and a.id < :before and a.id >= :since
  and (:agent is null or a.agent = :agent)
order by a.id desc limit :limit;

-- name: stale_intents
-- Actions in flight whose owner is gone or whose lease has run out.
select body from actions
where tenant = :tenant and state = 'intended' and state in ('parked', 'intended', 'unknown')
  and (lease_until_us <= :now_us or (:alone and lease_owner <> :owner))
order by id limit 256;

-- name: parked_actions
-- Parked actions with what people have said of them so far, for the housekeeper.
select a.body, p.state from actions a
left join approvals p on p.tenant = a.tenant and p.action = a.id
where a.tenant = :tenant and a.state = 'parked'
  and a.state in ('parked', 'intended', 'unknown')
  and (a.park_until_us <= :now_us or p.state in ('granted', 'denied'))
  and (a.lease_until_us is null or a.lease_until_us <= :now_us
    or (:alone and a.lease_owner <> :owner))
order by a.id limit 256;

-- name: touched_since
-- Other writes on a resource that were in flight or ended after a time.
select id from actions
where tenant = :tenant and resource = :resource and updated_at_us >= :since_us
  and state in ('intended', 'done', 'unknown');

-- name: claim_effect!
-- One live action an effect key.
insert into effect_keys (tenant, key, action) values (:tenant, :key, :action)
on conflict do nothing;

-- name: effect_holder^
-- Who holds an effect key.
select action from effect_keys where tenant = :tenant and key = :key;

-- name: free_effect!
-- The action gives up its effect key, if it is its own.
delete from effect_keys where tenant = :tenant and key = :key and action = :action;

-- name: balance^
-- What a node has spent and holds in a bucket.
select spent, held from budgets
where tenant = :tenant and node = :node and unit = :unit and bucket = :bucket;

-- name: put_balance*!
-- A node's balance at the end of a batch.
insert into budgets (tenant, node, unit, bucket, spent, held)
values (:tenant, :node, :unit, :bucket, :spent, :held)
on conflict (tenant, node, unit, bucket) do update set spent = excluded.spent, held = excluded.held;

-- name: spending
-- Every node's balance in the current buckets.
select node, unit, bucket, spent, held from budgets
where tenant = :tenant and bucket in ('all', :day, :hour, :minute) order by node, unit, bucket;

-- name: holds^
-- What an action still holds.
select holds from actions where tenant = :tenant and id = :action;

-- name: put_approval!
-- An approval request; a new digest replaces the request, not the votes on the old one.
insert into approvals (tenant, action, request_digest, state, expires_at_us, body)
values (:tenant, :action, :request_digest, :state, :expires_at_us, :body)
on conflict (tenant, action) do update set request_digest = excluded.request_digest,
    state = excluded.state, expires_at_us = excluded.expires_at_us, body = excluded.body;

-- name: approval_row^
-- An approval request.
select request_digest, state, body from approvals where tenant = :tenant and action = :action;

-- name: close_approval!
-- Move an approval from the state it was seen in.
update approvals set state = :state where tenant = :tenant and action = :action and state = :seen;

-- name: approvals_in_state
-- Approval requests in one state, oldest first.
select action, state, body from approvals where tenant = :tenant and state = :state order by action;

-- name: cast_vote!
-- One vote a person and request.
insert into votes (tenant, action, person, request_digest, body)
values (:tenant, :action, :person, :request_digest, :body) on conflict do nothing;

-- name: votes
-- The votes on an action's request as it stands.
select body from votes
where tenant = :tenant and action = :action and request_digest = :request_digest order by person;

-- name: put_payload!
-- A sealed payload.
insert into payloads (tenant, action, kind, run, sealed, commitment)
values (:tenant, :action, :kind, :run, :sealed, :commitment)
on conflict (tenant, action, kind) do update set sealed = excluded.sealed,
    commitment = excluded.commitment;

-- name: payload^
-- A sealed payload.
select sealed from payloads where tenant = :tenant and action = :action and kind = :kind;

-- name: own_payload^
-- An action's proposal or result, if it lies in its row: empty if it is too long for that.
select body, case :kind when 'proposal' then proposal when 'result' then result end
from actions where tenant = :tenant and id = :action;

-- name: breaker^
-- A target's recent failures.
select failures, open_until_us, recent from breakers where tenant = :tenant and target = :target;

-- name: put_breaker!
-- A target's failures after one more, or none after a success.
insert into breakers (tenant, target, failures, open_until_us, recent)
values (:tenant, :target, :failures, :open_until_us, :recent)
on conflict (tenant, target) do update set failures = excluded.failures,
    open_until_us = excluded.open_until_us, recent = excluded.recent;

-- name: append!
-- A ledger record, unsequenced.
insert into records (tenant, kind, action, body, hash)
values (:tenant, :kind, :action, :body, :hash);

-- name: unsequenced
-- Records without a leaf in commit order. Every commit is exclusive here, so seq is that order
-- and no record can appear below the last leaf's.
select seq, body from records
where seq > (select coalesce(max(record), 0) from leaves) order by seq limit :limit;

-- name: tree_size^
-- How many records have a leaf index.
select size from tree where id = 1;

-- name: grow_tree!
-- Compare-and-swap of the tree's size.
update tree set size = :new_size where id = 1 and size = :old_size;

-- name: put_leaf*!
-- A record gets its leaf.
insert into leaves (record, leaf_index) values (:seq, :leaf_index);

-- name: put_node*!
-- The hash of a complete subtree.
insert into tree_nodes (level, position, hash) values (:level, :position, :hash)
on conflict do nothing;

-- name: node^
-- The hash of a complete subtree.
select hash from tree_nodes where level = :level and position = :position;

-- name: put_checkpoint!
-- The signed head for a size: the first one stands, and the witness's last word on it.
insert into checkpoints (size, note, cosignature) values (:size, :note, :cosignature)
on conflict (size) do update set
    cosignature = coalesce(excluded.cosignature, checkpoints.cosignature);

-- name: newest_checkpoint^
-- The newest signed head, with what the witness said of it.
select size, note || coalesce(cosignature, '') from checkpoints order by size desc limit 1;

-- name: newest_cosigned^
-- The newest signed head that the witness cosigned.
select size, note || cosignature from checkpoints where cosignature is not null
order by size desc limit 1;

-- name: records_of_control
-- The records of control changes and of the log's keys.
select r.seq, r.body, l.leaf_index from records r left join leaves l on l.record = r.seq
where r.kind in ('control', 'checkpoint_key') order by r.seq;

-- name: records_from
-- Records in leaf order. A leaf never precedes its record's number, which bounds the search; a
-- record that was removed after it was sequenced comes back empty.
select l.record, coalesce(r.body, x''), l.leaf_index
from leaves l left join records r on r.seq = l.record
where l.record > :first and l.leaf_index >= :first order by l.record limit :limit;

-- name: records_of
-- The records of one action, which its row lists, sequenced or not.
select each.value, coalesce(r.body, x''), l.leaf_index
from actions a, json_each('[' || trim(a.records, ',') || ']') each
left join records r on r.seq = each.value left join leaves l on l.record = each.value
where a.tenant = :tenant and a.id = :action order by each.value;

-- name: list_record!
-- A record about an action that its own row did not write (a vote, say).
update actions set records = records || :records where tenant = :tenant and id = :id;

-- name: contents^
-- How much is in the database. Every row is looked at once: it is asked of backups.
select (select size from tree where id = 1),
    (select count(*) from actions),
    (select count(*) from records),
    (select count(*) from payloads)
        + (select count(*) from actions where length(proposal) > 0)
        + (select count(*) from actions where length(result) > 0),
    (select count(*) from runs),
    (select count(*) from actions where state in ('parked', 'intended', 'unknown')),
    (select count(*) from actions
        where json_extract(cast(body as text), '$.intended_at_us') >= :since_us);
