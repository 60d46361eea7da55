/* One member S as two others see it, with the rules of gossip.core: members.py (the greater record,
 * by incarnation and then liveness, wins: TBL-1), beliefs.py (a death that is hearsay is a
 * suspicion first; whatever is said of us and is not so is refuted: BEL-1), group.py (whoever is
 * doubted is told so: GRP-1), detector.py (the dead are pinged now and then).
 *
 * Whatever was ever said may arrive again, at any time, for ever (`said`). Loss is a step not
 * taken. Once `calm`, nobody is suspected for nothing and nothing is cut any more.
 *
 * Histories, one of:
 * -DRUMOUR   S lives, and is suspected twice for nothing
 * -DRESTART  the same, and S is killed and comes back with an incarnation that is higher, equal
 *            (within the second) or lower (its clock was set back)
 * -DLEAVE    the same, but S has left in order
 * -DCUT      S is cut off from both, until each side may believe the other dead
 *            In these four: in the end both believe that S lives.
 * -DDEATH    S ends for good, killed or leaving: in the end nobody believes that it lives.
 * -DSAFE     with any of them: TBL-1, TBL-2, and who refutes wins, as assertions.
 *
 * Mistakes, each refuted:
 * -DSAME       a refutation does not raise the incarnation
 * -DDEAF       what is said of a higher incarnation than ours is not taken for ours to refute
 * -DGONE       that we have left is not refuted
 * -DSILENT     who is believed dead is not contacted any more
 * -DREMOVED    the dead are removed at once, so that an old rumour brings them back
 * -DUNORDERED  an older death replaces a newer life
 * -DRAISES     who suspects raises the incarnation
 */
#define ALIVE 0
#define SUSPECT 1
#define DEAD 2
#define LEFT 3
#define MOST 10           /* never reached: asserted */
#ifdef SAFE
#define CLAIM(what) assert(what)
#else
#define CLAIM(what) skip
#endif

byte st[2], inc[2];       /* what each of the two believes of S */
byte mine = 3, most = 3;  /* the incarnation of S, and the highest that it ever had */
bool lives = true, calm = false, cut = false;
bool away[2];             /* S believes the other dead */
byte doubts = 0;
int said[4];              /* for each liveness, the incarnations it was said of, as bits */

inline say(s, i) { said[s] = said[s] | (1 << i) }

inline put(o, s, i) {
    CLAIM(i > inc[o] || (i == inc[o] && s >= st[o]));       /* TBL-1 */
    CLAIM(i <= most);                                       /* TBL-2 */
    st[o] = s; inc[o] = i; say(s, i)
}

inline learn(o, s, i) {                                     /* Beliefs.learn, MemberTable.accept */
    if
#ifdef UNORDERED
    :: s == DEAD && i < inc[o] -> put(o, DEAD, i)
#endif
    :: s == DEAD && st[o] == ALIVE && i >= inc[o] -> put(o, SUSPECT, i)
    :: !(s == DEAD && st[o] == ALIVE) && (i > inc[o] || (i == inc[o] && s > st[o])) -> put(o, s, i)
    :: else -> skip
    fi
}

inline hear(s, i) {                                         /* Beliefs._hear_of_self */
    if
#ifdef DEAF
    :: i == mine && s != ALIVE ->
#elif defined(GONE)
    :: i >= mine && (s != ALIVE || i > mine) && s != LEFT ->
#else
    :: i >= mine && (s != ALIVE || i > mine) ->
#endif
#ifdef SAME
        mine = i;
#else
        mine = i + 1;
#endif
        assert(mine < MOST);
        most = (mine > most -> mine : most)
    :: else -> skip
    fi
}

active [2] proctype Timer() {                               /* Beliefs.suspect and expire */
    byte o = _pid;
    do
    :: atomic { st[o] == SUSPECT ->
#ifdef REMOVED
        st[o] = DEAD; inc[o] = 0
#else
        put(o, DEAD, inc[o])
#endif
       }
    :: atomic { (!lives || cut) && st[o] == ALIVE -> put(o, SUSPECT, inc[o]) }
    :: atomic { !calm && doubts < 2 && st[o] == ALIVE ->
        doubts++;
#ifdef RAISES
        put(o, SUSPECT, inc[o] + 1)
#else
        put(o, SUSPECT, inc[o])
#endif
       }
    :: atomic { cut && !away[o] -> away[o] = true }
    od
}

active proctype Others() {                                  /* the two to each other */
    do
    :: atomic { true -> learn(0, st[1], inc[1]) }
    :: atomic { true -> learn(1, st[0], inc[0]) }
    od
}

active proctype Old() {                                     /* a datagram long on its way */
    byte s, i;
    do
    :: atomic {
        select(s : 0 .. 3); select(i : 1 .. MOST);
        if
        :: said[s] & (1 << i) ->
            if
            :: true -> learn(0, s, i)
            :: true -> learn(1, s, i)
            :: lives && !cut -> hear(s, i)
            fi
        :: else -> skip
        fi;
        s = 0; i = 0
       }
    od
}

active proctype Subject() {
    byte o = 0;
    do
    :: atomic { lives ->
        o = 1 - o;
        if
        :: cut -> skip
#ifdef SILENT
        :: !cut && away[o] && st[o] == DEAD -> skip
        :: !cut && !(away[o] && st[o] == DEAD) ->
#else
        :: !cut ->
#endif
            away[o] = false;
            hear(st[o], inc[o]);                            /* GRP-1 */
            learn(o, ALIVE, mine); say(ALIVE, mine);
#ifndef DEAF
            CLAIM(st[o] == ALIVE && inc[o] == mine)         /* who refutes wins */
#else
            skip
#endif
        fi
       }
    od
}

inline end() {
    lives = false;
#ifdef LEAVE
    say(LEFT, mine)
#endif
#ifdef DEATH
    if
    :: skip
    :: say(LEFT, mine)
    fi
#endif
}

active proctype Fate() {
#ifdef CUT
    cut = true; cut = false;
#endif
#if defined(RESTART) || defined(LEAVE)
    atomic { end() };
    atomic {
        if
        :: mine = most + 1                                  /* seconds since 1970 */
        :: skip
        :: mine = 1
        fi;
        most = (mine > most -> mine : most);
        lives = true
    };
#endif
#ifdef DEATH
    atomic { end() };
#endif
    calm = true
}

#ifdef DEATH
ltl death { <> [] (st[0] >= DEAD && st[1] >= DEAD) }
#else
ltl rejoin { <> [] (st[0] == ALIVE && st[1] == ALIVE) }
#endif
