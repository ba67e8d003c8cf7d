/* The protocol of lib/bridge/slot*.ts, as built. Run by `npm run model`; docs/testing.md tells what is checked.
 *
 * One statement is one Atomics access (all shared words are accessed with Atomics, so interleavings are all there is); `atomic` adds
 * only what is local to a thread, or a ghost: a variable that nobody but the assertions reads.
 *
 * Owner     opens, grants and sends (or revokes), ends, withdraws, gives up, frees, sweeps a link, grows: in every order
 * Importer  of one link: accepts handles, looks, waits for the doorbell, releases: in every order
 * Reaper    with -DDIE: terminates importer 1 between any two accesses
 *
 * S1 an end is of its own context and was made        S2 a cause is whole
 * S4 no slot is reused while it is held, or, unless it was given up, a handle is on its way; a holder never loses it; a handle is refused only when
 *    swept, given up or over
 * S6 a chunk is known before a slot of it is named     S7, L1: whatever happens, all slots become free and nobody sleeps for
 *    ever. Nobody polls without a block in between, so a leak or a lost wake-up is an invalid end state.
 *
 * Configurations: NS slots (slot 1 lies in chunk 1, made by growth), NG contexts, MG grants each, and DIE, CLOSE (a sweep under a
 * living importer; then link 2 uses the slots), LATE (ends are given up), OVERTAKE, DUP, REVOKE, and RING (MG=1): the importer is idle, and looks only at what the
 * ring beside the bell names. It has two entries, so that it is soon too short. Mutants: the M_ names.
 */
#ifndef NS
#define NS 1
#endif
#ifndef NG
#define NG 3
#endif
#ifndef MG
#define MG 2
#endif
#if defined(CLOSE) || defined(DIE)
#define LINKS 2
#else
#define LINKS 1
#endif
#define FREE 0
#define OPEN 1
#define ENDED 2
#define LETGO 2 /* of the owner's own state */
#define CHUNK 9
#define ENTRIES 2 /* of the ring; they are 8 */
#define BIT(x) (1 << (x))
#define IMPORTED 64 /* in RETURNED, above all grants */

typedef Slot { byte gen; byte st; byte link; byte granted; byte returned; byte c1; byte c2 }
Slot sl[NS];
byte bell[LINKS+1]; bit asleep[LINKS+1];
#ifdef RING
byte ring[ENTRIES];
#endif
chan inbox[LINKS+1] = [NG*MG+2] of { byte, byte, byte, byte }; /* slot, generation, grant; ghost: context */
bit done, die, dead;

/* Ghosts: by slot, whose it is; by link; and by context from 1. sent and came are sets of grants. */
byte whose[NS];
bit swept[LINKS+1]; bit given[NG+1]; byte ending[NG+1]; short sent[NG+1]; short came[NG+1]; byte held[NG+1];

#ifdef M_NO_GENERATION
#define LIVE(s,g) (sl[s].st != FREE)
#else
#define LIVE(s,g) (sl[s].gen == g && sl[s].st != FREE)
#endif
#ifdef M_FREE_UNSEEN
#define RETURNED(s) true
#else
#define RETURNED(s) (sl[s].returned == grants[s])
#endif
#ifdef M_WITHDRAW_UNSEEN
#define MAY_WITHDRAW(s) true
#else
#define MAY_WITHDRAW(s) (sl[s].returned == grants[s])
#endif

inline open_(s) {
  atomic {
    n++;
    assert(ctx[s] == 0 || swept[link[s]] || ((sent[ctx[s]] == came[ctx[s]] || given[ctx[s]]) && held[ctx[s]] == 0)); /* S4 */
#ifndef M_SAME_GENERATION
    gen[s]++;
#else
    if :: gen[s] == 0 -> gen[s] = 1 :: else fi;
#endif
    ctx[s] = n; whose[s] = n; own[s] = OPEN; first[s] = grants[s]; link[s] = (swept[1] -> 2 : 1);
    sl[s].link = link[s]
  };
  sl[s].granted = grants[s];
#ifndef M_KEEP_RETURNED
  sl[s].returned = grants[s];
#endif
  atomic { sl[s].gen = gen[s]; sl[s].st = OPEN }
}

inline send_(s) {
  atomic { sent[ctx[s]] = sent[ctx[s]] | BIT(grants[s]); inbox[link[s]]!s,gen[s],grants[s],ctx[s] }
}

inline grant_(s) {
#ifdef M_GRANT_AFTER_SEND
  atomic { grants[s]++; left[s]--; send_(s) };
  sl[s].granted = grants[s]
#else
  atomic { grants[s]++; left[s]--; sl[s].granted = grants[s] };
  if
  :: send_(s)
#ifdef REVOKE
  :: atomic {
#ifndef M_REVOKE_NOTHING
       grants[s]--; sl[s].granted = grants[s]
#else
       skip
#endif
     }
#endif
  fi
#endif
}

inline count_(s) {
#if defined(RING) && !defined(M_RING_LATE)
  ring[bell[link[s]] % ENTRIES] = s;
#endif
  bell[link[s]]++;
#ifdef M_RING_LATE
  ring[(bell[link[s]] - 1) % ENTRIES] = s;
#endif
}

inline end_(s) {
#ifdef M_FLAG_FIRST
  atomic { own[s] = LETGO; ending[ctx[s]] = 1; sl[s].st = ENDED };
  sl[s].c1 = ctx[s]; sl[s].c2 = ctx[s];
#else
  atomic { own[s] = LETGO; ending[ctx[s]] = 1; sl[s].c1 = ctx[s] };
  sl[s].c2 = ctx[s];
#ifdef M_BELL_FIRST
  count_(s); asleep[link[s]] = 0;
#endif
  sl[s].st = ENDED;
#endif
#if !defined(M_BELL_FIRST) && !defined(M_NO_BELL)
  count_(s);
#endif
#if !defined(M_BELL_FIRST) && !defined(M_NO_NOTIFY)
  asleep[link[s]] = 0
#else
  skip
#endif
}

#ifdef M_GIVE_UP_IMPORTED
#define MAY_GIVE_UP(s) true
#else
#define MAY_GIVE_UP(s) (sl[s].returned < IMPORTED)
#endif

/* A load and a compare-exchange that succeeds are as one step. */
inline give_up(s) { atomic { sl[s].returned = grants[s]; given[ctx[s]] = 1 } }

inline free_(s) { atomic { own[s] = FREE; sl[s].st = FREE } }

active proctype Owner() {
  byte n; bit grown;
  byte own[NS]; byte gen[NS]; byte grants[NS]; byte first[NS]; byte left[NS]; byte ctx[NS]; byte link[NS];
  do
  :: n < NG && own[0] == FREE -> left[0] = MG; open_(0)
  :: own[0] == OPEN && left[0] > 0 -> grant_(0)
  :: own[0] == OPEN -> end_(0)
  :: atomic { own[0] == OPEN && grants[0] > first[0] && MAY_WITHDRAW(0) -> own[0] = LETGO }
  :: atomic { own[0] == LETGO && RETURNED(0) -> own[0] = FREE; sl[0].st = FREE }
#ifdef LATE
  :: atomic { own[0] == LETGO && MAY_GIVE_UP(0) && !RETURNED(0) -> give_up(0) }
#endif
#if NS > 1
  :: !grown && n < NG && own[0] != FREE -> grown = 1;
#ifndef M_CHUNK_LATE
     inbox[1]!CHUNK,0,0,0
#else
     left[1] = MG; open_(1); grant_(1); inbox[1]!CHUNK,0,0,0
#endif
  :: grown && n < NG && own[1] == FREE -> left[1] = MG; open_(1)
  :: own[1] == OPEN && left[1] > 0 -> grant_(1)
  :: own[1] == OPEN -> end_(1)
  :: atomic { own[1] == OPEN && grants[1] > first[1] && MAY_WITHDRAW(1) -> own[1] = LETGO }
  :: atomic { own[1] == LETGO && RETURNED(1) -> own[1] = FREE; sl[1].st = FREE }
#endif
#ifdef CLOSE
  :: !swept[1] -> swept[1] = 1; asleep[1] = 0;
     if :: own[0] != FREE -> free_(0) :: else fi; bell[1]++; asleep[1] = 0
#endif
#ifdef DIE
  :: dead && !swept[1] -> swept[1] = 1;
#ifndef M_NO_SWEEP
     if :: own[0] != FREE -> free_(0) :: else fi
#else
     skip
#endif
#endif
  :: atomic { n == NG && own[0] == FREE && (NS == 1 || own[NS-1] == FREE) -> done = 1; break } /* S7 */
  od
}

inline refuse() { assert(swept[me] || given[k] || (came[k] & BIT(gr))) } /* S4 */

/* Whether `hold` has done it. */
#ifdef M_HOLD_STORE
#define HELD(s) true
#else
#define HELD(s) (sl[s].returned == vret[s])
#endif

inline take() {
  if
  :: vgen[s] != g ->
     assert(imports[s] == 0 || swept[me]);
     vgen[s] = g; vctx[s] = k; imports[s] = 0; vret[s] = r; vrec[s] = r; ahead[s] = 0; count[s] = 0
  :: else
  fi
}

/* The compare-exchange of the first import, and all that is local after it. */
inline hold() {
  if
  :: imports[s] == 0 && (gr <= vrec[s] || (ahead[s] & BIT(gr)) || !HELD(s)) -> refuse();
     if :: ahead[s] == 0 -> forget_(s) :: else fi
  :: else ->
     if :: imports[s] == 0 -> sl[s].returned = vret[s] + IMPORTED :: else fi;
     if
     :: gr <= vrec[s] || (ahead[s] & BIT(gr))
#ifdef M_NO_AHEAD
     :: gr > vrec[s] -> vrec[s] = gr
#else
     :: gr == vrec[s] + 1 && ahead[s] == 0 -> vrec[s] = gr
     :: gr > vrec[s] && !(ahead[s] & BIT(gr)) && !(gr == vrec[s] + 1 && ahead[s] == 0) ->
        ahead[s] = ahead[s] | BIT(gr);
        do
        :: ahead[s] & BIT(vrec[s] + 1) -> vrec[s]++; ahead[s] = ahead[s] & ~BIT(vrec[s])
        :: else -> break
        od
#endif
     fi;
     imports[s]++; count[s]++; came[k] = came[k] | BIT(gr); held[k]++
  fi
}

inline forget_(i) { vgen[i] = 0; vctx[i] = 0; vret[i] = 0; vrec[i] = 0 }

inline accept_() {
  atomic { ok = LIVE(s, g); if :: !ok -> refuse() :: else fi };
  if
  :: ok ->
     lk = sl[s].link;
#ifdef M_GRANTED_FIRST
     m = sl[s].granted; r = sl[s].returned;
#else
     r = sl[s].returned; m = sl[s].granted;
#endif
     atomic {
#ifndef M_ACCEPT_ONCE
       ok = LIVE(s, g);
#endif
       if
       :: !ok || lk != me || gr > m -> ok = 0; refuse()
       :: else -> assert(whose[s] == k); assert(vgen[s] == g || r <= m); ok = 1; take() /* S1 */
       fi;
       lk = 0; m = 0; r = 0
     };
     if :: ok -> atomic { hold() } :: else fi
  :: else
  fi
}

/* SlotView.read: leaves in `ok` whether it is open. */
inline look(i) {
  atomic { st = sl[i].st; ok = (st == OPEN && sl[i].gen == vgen[i]);
           if :: !ok && (sl[i].gen != vgen[i] || st == FREE) -> assert(swept[me]); st = FREE :: else fi }; /* S4 */
  if
  :: st == ENDED ->
     r = sl[i].c1; d = sl[i].c2;
     atomic {
       if
#ifndef M_READ_ONCE
       :: sl[i].gen != vgen[i] || sl[i].st != st -> assert(swept[me])
#endif
       :: else -> assert(r == d && r == vctx[i] && ending[r]) /* S1, S2 */
       fi; r = 0; d = 0
     }
  :: else
  fi; st = 0
}

inline release_(i) {
  atomic { imports[i]--; held[vctx[i]]-- };
  if
#ifdef M_KEEP_MARK
  :: imports[i] == 0 && vrec[i] > vret[i] ->
#else
  :: imports[i] == 0 ->
#endif
     atomic {
#if defined(M_RETURN_COUNT)
       sl[i].returned = vret[i] + count[i];
#elif defined(M_RETURN_STORE)
       sl[i].returned = vrec[i];
#else
       if :: sl[i].returned == vret[i] + IMPORTED -> sl[i].returned = vrec[i] :: else fi;
#endif
       vret[i] = vrec[i]; count[i] = 0;
       if :: ahead[i] == 0 -> forget_(i) :: else fi
     }
  :: else
  fi
}

#ifdef RING
/* Looks at one, and keeps it at most while it is open. */
inline keep(i) {
  look(i);
  if :: release_(i) :: ok fi; ok = 0
}

/* SlotReader.rungSince, and the look at what it gives. The next wait begins where the bell stood before that. */
inline hear() {
#ifndef M_NOW_LATE
  now = bell[me];
#endif
  rings = bell[me] - seen;
  name = NS;
  if :: rings == 1 -> name = ring[seen % ENTRIES] :: else fi;
#ifndef M_RING_ONCE
  if :: rings < ENTRIES -> rings = bell[me] - seen :: else fi;
#endif
#ifdef M_RING_BELIEVED
  rings = 0;
#endif
  if :: imports[0] > 0 && (name == 0 || rings >= ENTRIES) -> keep(0) :: else fi;
  if :: imports[1] > 0 && (name == 1 || rings >= ENTRIES) -> keep(1) :: else fi;
#ifdef M_NOW_LATE
  now = bell[me];
#endif
  atomic { seen = now; now = 0; rings = 0; name = 0; listening = (imports[0] > 0 || imports[1] > 0);
           if :: !listening -> seen = 0 :: else fi }
}
#endif

inline import_() {
#ifdef OVERTAKE
  atomic { nempty(inbox[me]) -> inbox[me]?s,g,gr,k;
           rot = len(inbox[me]);
           do :: rot > 0 -> rot--; inbox[me]!s,g,gr,k; inbox[me]?s,g,gr,k :: break od; rot = 0 };
#elif defined(DUP)
  atomic { nempty(inbox[me]) -> if :: dups < 2 -> dups++; inbox[me]?<s,g,gr,k> :: inbox[me]?s,g,gr,k fi };
#else
  inbox[me]?s,g,gr,k;
#endif
  if
  :: s == CHUNK -> known = 1
  :: else -> assert(s == 0 || known); accept_(); /* S6 */
#ifdef RING
#ifdef M_LISTEN_LATE
     if :: imports[s] > 0 -> keep(s) :: else fi;
#endif
     if :: !listening && imports[s] > 0 -> listening = 1; seen = bell[me] :: else fi;
#ifndef M_LISTEN_LATE
     if :: imports[s] > 0 -> keep(s) :: else fi
#endif
#endif
  fi; atomic { s = 0; g = 0; gr = 0; k = 0; ok = 0 }
}

/* Looks at one held slot, then keeps it, gives it back, or waits as Atomics.wait and waitAsync do. */
inline visit(i) {
  imports[i] > 0 ->
#ifndef M_LOOK_FIRST
  seen = bell[me];
#endif
  look(i);
#ifdef M_LOOK_FIRST
  seen = bell[me];
#endif
  if
  :: release_(i)
  :: ok ->
     atomic { if :: bell[me] == seen -> asleep[me] = 1 :: else fi };
     if :: asleep[me] == 0 :: nempty(inbox[me]) -> asleep[me] = 0 fi
  fi; atomic { ok = 0; seen = 0 }
}

proctype Importer(byte me) {
  byte s, g, gr, k, lk, d, m, r, st, seen, dups, rot; bit ok, known;
#ifdef RING
  byte now, rings, name; bit listening, waiting;
#endif
  byte vgen[NS]; byte vctx[NS]; byte imports[NS]; byte vret[NS]; byte vrec[NS]; short ahead[NS]; byte count[NS];
  {
    do
    :: nempty(inbox[me]) -> import_()
#ifdef RING
    :: listening && !waiting -> /* Atomics.waitAsync */
       atomic { if :: bell[me] == seen -> asleep[me] = 1; waiting = 1 :: else fi };
       if :: waiting :: else -> hear() fi
    :: atomic { waiting && asleep[me] == 0 -> waiting = 0 }; hear()
#else
    :: visit(0)
#if NS > 1
    :: visit(1)
#endif
#endif
    :: done && empty(inbox[me]) && imports[0] == 0 && imports[NS-1] == 0 -> break
    od
  } unless { me == 1 && die -> dead = 1 }
}

#ifdef DIE
active proctype Reaper() { if :: die = 1 :: done fi }
#endif

init { atomic { run Importer(1); if :: LINKS > 1 -> run Importer(2) :: else fi } }
