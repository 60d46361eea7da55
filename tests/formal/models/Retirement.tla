---------------------------- MODULE Retirement ----------------------------
\* A member is forgotten for good while it may be writing, alone or to some of the others; its disk
\* may come back under another name. Is what the others have of it kept, and the same everywhere;
\* does nothing that was removed come back; is nothing taken for removed that nobody removed
\* (MEM-1; crdtstate.replica.membership, crdtstate.replica.machine; traps P-c3, P-e3, P-e4)?
\*
\* Rule "links": who knows of the decision exchanges nothing with the forgotten one any more; its
\*               entry in the vectors stays. What ships.
\* Mistakes:
\* Rule "cover": who hears of the decision counts as seen all that the forgetter had seen (P-e3).
\* Rule "prune": who hears of the decision drops the origin from its vector.
\* Rule "dead":  who believes a member dead drops its origin, and it was only cut off (P-c3,
\*               P-e4).
EXTENDS Naturals, FiniteSets, TLC
CONSTANTS Rest, Gone, MaxOps, Rule
VARIABLES seen, live, ops, knows, mark, removed, cleared, returned
vars == <<seen, live, ops, knows, mark, removed, cleared, returned>>
\* A dot is <<member, number>>. `removed`: what a member has had and lost, or cleared itself, kept
\* for ever. `cleared`: what anybody has cleared. `knows`: who has heard of the decision.

Member == Rest \cup {Gone}
Of(S) == {d \in S : d[1] = Gone}
Clears(dot) == dot[3] = "clear"
Init == /\ seen = [m \in Member |-> {}] /\ live = [m \in Member |-> {}]
        /\ removed = [m \in Member |-> {}] /\ cleared = {}
        /\ ops = 0 /\ knows = {} /\ mark = {} /\ returned = FALSE

\* A member adds an entry, or removes all that it sees: either takes a dot of its own.
Next1(m, kind) == <<m, 1 + Cardinality({d \in seen[m] : d[1] = m}), kind>>

Add(m) == /\ ops < MaxOps /\ ops' = ops + 1
          /\ live' = [live EXCEPT ![m] = @ \cup {Next1(m, "add")}]
          /\ seen' = [seen EXCEPT ![m] = @ \cup {Next1(m, "add")}]
          /\ UNCHANGED <<knows, mark, removed, cleared, returned>>

Clear(m) == /\ ops < MaxOps /\ live[m] # {} /\ ops' = ops + 1
            /\ removed' = [removed EXCEPT ![m] = @ \cup live[m]]
            /\ cleared' = cleared \cup live[m]
            /\ live' = [live EXCEPT ![m] = {}]
            /\ seen' = [seen EXCEPT ![m] = @ \cup {Next1(m, "clear")}]
            /\ UNCHANGED <<knows, mark, returned>>

\* What a member does with its vector when it hears of the decision.
Told(had, covered) == CASE Rule = "cover" -> had \cup covered
                        [] Rule = "prune" -> had \ Of(had)
                        [] OTHER -> had

Forget(m) == /\ m # Gone /\ knows = {} /\ Rule # "dead"
             /\ knows' = {m} /\ mark' = Of(seen[m])
             /\ seen' = [seen EXCEPT ![m] = Told(@, {})]
             /\ UNCHANGED <<live, ops, removed, cleared, returned>>

\* The decision travels apart from the rest, as a transaction does in a push.
Hear(q, r) == /\ q \in knows /\ r \notin knows /\ r # Gone
              /\ knows' = knows \cup {r}
              /\ seen' = [seen EXCEPT ![r] = Told(@, mark)]
              /\ UNCHANGED <<live, ops, mark, removed, cleared, returned>>

Banned(q, r) == ~returned /\ ((q = Gone /\ r \in knows) \/ (r = Gone /\ q \in knows))
Pull(q, r) == /\ ~Banned(q, r)
              /\ live' = [live EXCEPT ![r] =
                      {d \in live[r] : d \in live[q] \/ d \notin seen[q]}
                 \cup {d \in live[q] : d \in live[r] \/ d \notin seen[r]}]
              /\ removed' = [removed EXCEPT ![r] = @ \cup (live[r] \ live'[r])]
              /\ seen' = [seen EXCEPT ![r] = @ \cup seen[q]]
              /\ UNCHANGED <<ops, knows, mark, cleared, returned>>

\* The forgotten disk serves under another name: nothing tells it from any other member.
Return == /\ knows # {} /\ ~returned /\ returned' = TRUE
          /\ UNCHANGED <<seen, live, ops, knows, mark, removed, cleared>>

\* The mistake: a timer decides.
Dead(m) == /\ Rule = "dead" /\ m # Gone /\ Of(seen[m]) # {}
           /\ seen' = [seen EXCEPT ![m] = @ \ Of(@)]
           /\ UNCHANGED <<live, ops, knows, mark, removed, cleared, returned>>

Next == \/ Return
        \/ \E m \in Member : \/ Add(m) \/ Clear(m) \/ Forget(m) \/ Dead(m)
                             \/ \E q \in Member \ {m} : Pull(q, m) \/ Hear(q, m)
Spec == Init /\ [][Next]_vars
Symmetry == Permutations(Rest)

SEC == \A r, q \in Member : seen[r] = seen[q] => live[r] = live[q]
NothingComesBack == \A m \in Member : live[m] \cap removed[m] = {}
\* What is seen is still there, or somebody removed it.
NothingIsLost == \A m \in Member :
                     \A d \in seen[m] : Clears(d) \/ d \in live[m] \/ d \in cleared
=============================================================================
