-- invariant: nothing-waits-in-the-outbox: what was said is on Kafka within five minutes.
SELECT 'outbox/' || id AS subject, 'waiting since ' || created_at AS detail
FROM outbox WHERE created_at < now() - interval '5 minutes' ORDER BY id LIMIT 100;

-- invariant: blocked-keys-are-freed: every dead letter that holds up its key was settled by a person.
SELECT topic || '/' || partition || '@' || "offset" AS subject, code || ': ' || detail AS detail
FROM dead_letters WHERE state = 'open' AND blocks_key ORDER BY failed_at LIMIT 100;

-- invariant: the-parked-wait-for-something: an event is parked only behind an open dead letter of its key.
SELECT p.topic || '/' || p.partition || '@' || p."offset" AS subject, 'no open dead letter' AS detail
FROM parked p
WHERE NOT EXISTS (
    SELECT 1 FROM dead_letters d WHERE d.key = p.key AND d.blocks_key AND d.state = 'open'
) LIMIT 100;
