------------------------------ MODULE Restore ------------------------------
\* A disk that goes back in time, or is copied over another, and processes that crash. Does a dot
\* still name one operation, and do equal vectors mean equal states (IDN-1, DOT-1, REP-1, REP-3,
\* REP-5; crdtstate.storage.layout, crdtstate.replica.standing, crdtstate.replica.machine)?
\*
\* Rule "fresh": the files show what happened (a restore, a copy, another machine), and the replica
\*               takes a new identity before its first write. What ships.
\* Rule "ask":   nothing shows (a whole machine's snapshot). Before its first write the replica
\*               compares vectors with one peer, and later with whomever it meets; it takes a new
\*               identity when one knows later writes of it. What ships for that case.
\* Mistakes:
\* Rule "keep":  nobody asks.
\* Rule "loud":  as "fresh", but a batch leaves before it is durable (no REP-1).
\* Rule "hasty": as "ask", but a new identity is taken while a batch is on its way, and that batch
\*               leaves under the new one, with the number that it had (no REP-5).
EXTENDS Naturals, FiniteSets, TLC
CONSTANTS Replica, MaxOps, MaxRollback, MaxClone, Rule
VARIABLES id, lives, seen, live, flight, backup, issued, ops, rollbacks, clones, sure
vars == <<id, lives, seen, live, flight, backup, issued, ops, rollbacks, clones, sure>>
\* A dot is <<identity, number>>, an entry <<dot, operation>>. `seen` and `live` are the disk;
\* `flight` is the batch that is being made durable, of one operation (REP-2).

Max(S) == IF S = {} THEN 0 ELSE CHOOSE x \in S : \A y \in S : x >= y
Entry(vector, who) == Max({d[2] : d \in {x \in vector : x[1] = who}})
Dots(S) == {e[1] : e \in S}
Asks == Rule \in {"ask", "hasty"}
New(r) == <<r, lives + 1>>

Init == /\ id = [r \in Replica |-> <<r, 0>>] /\ lives = 0
        /\ seen = [r \in Replica |-> {}] /\ live = [r \in Replica |-> {}]
        /\ flight = [r \in Replica |-> {}]
        /\ backup = [r \in Replica |-> <<<<r, 0>>, {}, {}>>]
        /\ issued = {} /\ ops = 0 /\ rollbacks = 0 /\ clones = 0
        /\ sure = [r \in Replica |-> TRUE]

\* A put replaces what it has seen.
Put(r) == /\ sure[r] /\ flight[r] = {} /\ ops < MaxOps
          /\ flight' = [flight EXCEPT ![r] = {<<<<id[r], 1 + Entry(seen[r], id[r])>>, ops>>}]
          /\ ops' = ops + 1
          /\ UNCHANGED <<id, lives, seen, live, backup, issued, rollbacks, clones, sure>>

Durable(r) == /\ flight[r] # {}
              /\ live' = [live EXCEPT ![r] = flight[r]]
              /\ seen' = [seen EXCEPT ![r] = @ \cup Dots(flight[r])]
              /\ issued' = issued \cup flight[r]
              /\ flight' = [flight EXCEPT ![r] = {}]
              /\ UNCHANGED <<id, lives, backup, ops, rollbacks, clones, sure>>

\* What q shows to others: what is durable (REP-1), but for the mistake.
IsLoud(q) == Rule = "loud" /\ flight[q] # {}
ShownLive(q) == IF IsLoud(q) THEN flight[q] ELSE live[q]
ShownSeen(q) == seen[q] \cup (IF IsLoud(q) THEN Dots(flight[q]) ELSE {})
IsLost(q, r) == Entry(ShownSeen(q), id[r]) > Entry(seen[r] \cup Dots(flight[r]), id[r])

\* While a join is written, no batch is closed (REP-2).
Pull(q, r) == /\ flight[r] = {} /\ ~(Asks /\ (~sure[r] \/ IsLost(q, r)))
              /\ live' = [live EXCEPT ![r] =
                      {e \in live[r] : e \in ShownLive(q) \/ e[1] \notin ShownSeen(q)}
                 \cup {e \in ShownLive(q) : e \in live[r] \/ e[1] \notin seen[r]}]
              /\ seen' = [seen EXCEPT ![r] = @ \cup ShownSeen(q)]
              /\ issued' = IF IsLoud(q) THEN issued \cup flight[q] ELSE issued
              /\ UNCHANGED <<id, lives, flight, backup, ops, rollbacks, clones, sure>>

Crash(r) == /\ flight[r] # {} /\ flight' = [flight EXCEPT ![r] = {}]
            /\ sure' = IF Asks THEN [sure EXCEPT ![r] = FALSE] ELSE sure
            /\ UNCHANGED <<id, lives, seen, live, backup, issued, ops, rollbacks, clones>>

Backup(r) == /\ rollbacks < MaxRollback
             /\ backup' = [backup EXCEPT ![r] = <<id[r], seen[r], live[r]>>]
             /\ UNCHANGED <<id, lives, seen, live, flight, issued, ops, rollbacks, clones, sure>>

\* An operation that nobody has any more, nor any backup, is lost; its dot names nothing.
Elsewhere(r) == UNION ({seen[q] : q \in Replica \ {r}} \cup {backup[q][2] : q \in Replica})

\* Replica r starts on the disk <<identity, seen, live>>.
Start(r, disk) == /\ seen' = [seen EXCEPT ![r] = disk[2]]
                  /\ live' = [live EXCEPT ![r] = disk[3]]
                  /\ flight' = [flight EXCEPT ![r] = {}]
                  /\ sure' = [sure EXCEPT ![r] = ~Asks]
                  /\ IF Rule \in {"fresh", "loud"}
                     THEN id' = [id EXCEPT ![r] = New(r)] /\ lives' = lives + 1
                     ELSE id' = [id EXCEPT ![r] = disk[1]] /\ lives' = lives
                  /\ issued' = {e \in issued : e[1] \in disk[2] \cup Elsewhere(r)}
                  /\ UNCHANGED <<backup, ops>>

Rollback(r) == /\ rollbacks < MaxRollback /\ rollbacks' = rollbacks + 1
               /\ Start(r, backup[r]) /\ UNCHANGED clones
Clone(q, r) == /\ clones < MaxClone /\ clones' = clones + 1
               /\ Start(r, <<id[q], seen[q], live[q]>>) /\ UNCHANGED rollbacks

\* r hears the vector of q.
Hear(q, r) == /\ Asks
              /\ \/ /\ ~sure[r] /\ ~IsLost(q, r)
                    /\ sure' = [sure EXCEPT ![r] = TRUE]
                    /\ UNCHANGED <<id, lives, flight, issued>>
                 \/ /\ IsLost(q, r) /\ (flight[r] = {} \/ Rule = "hasty")
                    /\ id' = [id EXCEPT ![r] = New(r)] /\ lives' = lives + 1
                    /\ sure' = [sure EXCEPT ![r] = TRUE]
                    /\ issued' = issued \cup {<<<<New(r), e[1][2]>>, e[2]>> : e \in flight[r]}
                    /\ flight' = [flight EXCEPT ![r] = {}]
              /\ UNCHANGED <<seen, live, backup, ops, rollbacks, clones>>

Next == \E r \in Replica : \/ Put(r) \/ Durable(r) \/ Crash(r) \/ Backup(r) \/ Rollback(r)
                           \/ \E q \in Replica \ {r} : Pull(q, r) \/ Clone(q, r) \/ Hear(q, r)
Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Replica)

UniqueDots == \A x, y \in issued : x[1] = y[1] => x = y
\* The same of the identities that were taken anew.
NewDots == \A x, y \in issued : (x[1] = y[1] /\ x[1][1][2] > 0) => x = y
\* Strong eventual consistency: who has seen the same holds the same.
SEC == \A r, q \in Replica : seen[r] = seen[q] => live[r] = live[q]
=============================================================================
