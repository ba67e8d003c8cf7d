/** Small breakages of the library. Each must be noticed by one of the test files that it names: they are tried in order. */

import { isolation } from './isolation.ts'
import { link } from './link.ts'
import { threads } from './threads.ts'

export interface Mutant {
  readonly file: string
  /** Must be in the file exactly once. */
  readonly original: string
  readonly replacement: string
  readonly breaks: string
  readonly tests: readonly string[]
}

const interleavings = ['test/slots/interleavings.test.ts']
const table = ['test/slots/table.test.ts', ...interleavings]
const reader = ['test/slots/reader.test.ts', ...interleavings]
const contract = (...names: string[]): string[] => [
  ...names.map((name) => `test/contract/${name}.test.ts`),
  'test/property/tree.test.ts',
]

const tree: readonly Mutant[] = [
  {
    file: 'lib/scope.ts',
    original: 'return (last?.outer ?? last)?.foreign?.value(key)',
    replacement: 'return last?.foreign?.value(key)',
    breaks: 'a context of somebody else is not asked below every other number of bindings',
    tests: contract('values'),
  },
  {
    file: 'lib/scope.ts',
    original: '      if (b.next === key) return b.outer?.value as T\n',
    replacement: '',
    breaks: 'every other binding is passed over',
    tests: contract('values'),
  },
  {
    file: 'lib/spread.ts',
    original: 'if (isNew && top.below > 0) epoch = new Epoch()',
    replacement: '',
    breaks: 'an end does not change the epoch: descendants that are only polled stay live',
    tests: contract('with-cancel'),
  },
  {
    file: 'lib/spread.ts',
    original: '      child.scope.state = end\n',
    replacement: '      child.scope.state = end.dated(end.at)\n',
    breaks: 'parent and child end with different errors',
    tests: contract('with-cancel', 'done-and-err'),
  },
  {
    file: 'lib/end.ts',
    original: "if (this.at === other.at && this.kind !== other.kind) return this.kind === 'deadline'",
    replacement: '',
    breaks: 'of a cancel and a deadline at one instant, the one that was found first counts',
    tests: contract('deadlines', 'merge-race-sleep-group'),
  },
  {
    file: 'lib/observers.ts',
    original: '      if (watch.needed) break\n',
    replacement: '',
    breaks: 'one observer that leaves takes the others with it',
    tests: contract('after-func', 'nothing-left-behind'),
  },
  {
    file: 'lib/observers.ts',
    original: '      watch.scope.watch = undefined\n',
    replacement: '      if (watch.alarm !== undefined) watch.scope.watch = undefined\n      else return\n',
    breaks: 'a removed observer is not unlinked upwards',
    tests: contract('nothing-left-behind', 'deadlines'),
  },
  {
    file: 'lib/tree.ts',
    original: '  else scope.state = end\n  return scope\n',
    replacement: '  return scope\n',
    breaks: 'a child of an ended parent is not ended when it is made',
    tests: contract('with-cancel', 'done-and-err'),
  },
  {
    file: 'lib/tree.ts',
    original: '  unobserve(listener)\n  return true\n',
    replacement: '  return true\n',
    breaks: 'stop() tells that it stopped, and the function runs',
    tests: contract('after-func'),
  },
  {
    file: 'lib/tree.ts',
    original: '  if (scope.state === unread) scope.state = new End',
    replacement: '  if (scope.state === undefined) scope.state = new End',
    breaks: 'all plain cancels of a process share one error',
    tests: contract('done-and-err'),
  },
  {
    file: 'lib/tree.ts',
    original: '  else if (scope.end === undefined) mark(scope, end, wave, end !== up)\n',
    replacement: '  else mark(scope, end, wave, end !== up)\n',
    breaks: 'a second end in place of the one that was found while somebody was asked',
    tests: contract('foreign'),
  },
  {
    file: 'lib/tree.ts',
    original: 'if (end === undefined || scope.state !== epoch || scope.bounds.time.size > 0) return look(scope)',
    replacement: 'if (end === undefined || scope.bounds.time.size > 0) return look(scope)',
    breaks: 'a context that stands alone gets a second end in place of the one that was found while somebody was asked',
    tests: contract('foreign'),
  },
  {
    file: 'lib/spread.ts',
    original: '  if (scope.end === undefined) scope.state = epoch\n',
    replacement: '  scope.state = epoch\n',
    breaks: 'one that was ended by whoever was asked about it lives again',
    tests: contract('foreign'),
  },
  {
    file: 'lib/source.ts',
    original: 'if (end !== undefined && scope.end === undefined) finish(',
    replacement: 'if (end !== undefined) finish(',
    breaks: 'a second end in place of the first, where whoever is asked, after it told of an end, looks below itself',
    tests: contract('foreign'),
  },
  {
    file: 'lib/tree.ts',
    original: '  if (below === 2) return new End(kind, cause, bounds.time.clock.now(), error)\n',
    replacement: '',
    breaks: 'a plain cancel has no instant, though somebody below needs it',
    tests: contract('deadlines'),
  },
  {
    file: 'lib/tree.ts',
    original: '  if (scope.watch === undefined) markAlone(scope, endAlone',
    replacement: '  scope.time.catchUp(scope.time.clock.now())\n  if (scope.watch === undefined) markAlone(scope, endAlone',
    breaks: 'a cancel that nobody hears of reads the clock',
    tests: contract('nothing-left-behind'),
  },
  {
    file: 'lib/spread.ts',
    original: '  } catch (error) {\n    report(error)\n',
    replacement: '  } catch (error) {\n    throw error\n',
    breaks: 'a listener that throws keeps others from being told',
    tests: contract('after-func'),
  },
  {
    file: 'lib/clock.ts',
    original: '  catchUp(now: number): boolean {\n',
    replacement: '  catchUp(now: number): boolean {\n    now++\n',
    breaks: 'deadlines ring early',
    tests: contract('deadlines'),
  },
  {
    file: 'lib/clock.ts',
    original: 'Math.min(longest, Math.max(1, Math.ceil(at - now)))',
    replacement: 'Math.max(1, Math.ceil(at - now))',
    breaks: 'a far deadline asks for a timer longer than the host has',
    tests: contract('deadlines'),
  },
  {
    file: 'lib/clock.ts',
    original: '      this.catchUp(this.clock.now())\n    } finally {\n      this.#arm()\n',
    replacement: '      this.catchUp(this.clock.now())\n    } finally {\n',
    breaks: 'a timer that was early or not the last one is not set again',
    tests: contract('deadlines'),
  },
  {
    file: 'lib/clock.ts',
    original: '    if (this.#heap.length === 0) this.#disarm()\n  }\n',
    replacement: '  }\n',
    breaks: 'the host keeps its timer when nothing is due any more',
    tests: contract('nothing-left-behind', 'deadlines'),
  },
  {
    file: 'lib/scope.ts',
    original: '  return live === true ? (scope.bounds = new Bounds(time, due, scope)) : scope.bounds\n',
    replacement: '  return scope.bounds\n',
    breaks: 'a look goes through all that lies between it and what may end without telling',
    tests: ['test/slots/bounds.test.ts'],
  },
  {
    file: 'lib/source.ts',
    original: '    this.#observed = undefined\n    this.unwatch()\n',
    replacement: '    this.#observed = undefined\n',
    breaks: 'a signal keeps the listener of a context that nobody observes',
    tests: ['test/contract/abort-signal.test.ts', 'test/contract/nothing-left-behind.test.ts', ...contract('foreign')],
  },
  {
    file: 'lib/source.ts',
    original: 'const end = above ?? this.news(scope)',
    replacement: 'const end = this.news(scope) ?? above',
    breaks: "an outside end that was later than the parent's counts",
    tests: ['test/contract/abort-signal.test.ts', ...contract('foreign')],
  },
  {
    file: 'lib/context.ts',
    original: 'above?.cameBefore(due.at) === true) return above',
    replacement: 'above !== undefined) return above',
    breaks: "a parent's later end is taken for a deadline that had passed before",
    tests: contract('deadlines'),
  },
]

const slots: readonly Mutant[] = [
  {
    file: 'lib/bridge/slot.ts',
    original: '    this.#mem.store(at + RETURNED, this.#granted)\n',
    replacement: '',
    breaks: 'RETURNED is not set when a slot is taken back',
    tests: table,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: 'this.generation = generation + 1',
    replacement: 'this.generation = generation || 1',
    breaks: 'a slot is opened again without a new generation',
    tests: table,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: '      storeCause(this.#mem, slotAt(this.number), cause, shortened)\n      this.#publish(kind, CAUSED)\n',
    replacement: '      this.#publish(kind, CAUSED)\n      storeCause(this.#mem, slotAt(this.number), cause, shortened)\n',
    breaks: 'the end is published before its cause',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot.ts',
    original:
      "    this.#mem.store(slotAt(this.number) + CONTROL, control(this.generation, state))\n    this.#state = 'let go'\n    this.#owner.letGo++\n    ringBell(this.#owner.bells, this.link, this.number)\n",
    replacement:
      "    ringBell(this.#owner.bells, this.link, this.number)\n    this.#mem.store(slotAt(this.number) + CONTROL, control(this.generation, state))\n    this.#state = 'let go'\n    this.#owner.letGo++\n",
    breaks: 'the bell is rung before the end is published',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: '  bells.add(bell, 1)\n',
    replacement: '',
    breaks: 'the bell does not change',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: '  bells.store(ringAt(link, bells.load(bell)), slot)\n  bells.add(bell, 1)\n',
    replacement: '  bells.add(bell, 1)\n  bells.store(ringAt(link, bells.load(bell) - 1), slot)\n',
    breaks: 'an end is counted before the ring names it',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: '  bells.add(bellAt(link), RING)\n',
    replacement: '  bells.add(bellAt(link), 1)\n',
    breaks: 'a sweep rings as if one slot had ended',
    tests: reader,
  },
  {
    file: 'lib/bridge/slot-reader.ts',
    original: 'return since < 0 || since >= RING ? this.views() : named',
    replacement: 'return named',
    breaks: 'a name in the ring is believed though it may have been written over',
    tests: interleavings,
  },
  {
    file: 'transports/worker/importer.ts',
    original: '    if (!view.isOpen()) void yielded.then(() => source.look())\n',
    replacement: '',
    breaks: 'an import that had ended before it listened is never given back',
    tests: ['test/slots/waiters.test.ts'],
  },
  {
    file: 'transports/worker/importer.ts',
    original: '    this.reader.stopWaiting()\n',
    replacement: '',
    breaks: 'a link that closes leaves its waiter behind',
    tests: ['test/slots/waiters.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '    held.slot.takeBack()\n',
    replacement: '',
    breaks: 'a call that was never read keeps its slots',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: 'if (--held.calls > 0 || held.byHand) return',
    replacement: 'if (--held.calls > 0) return',
    breaks: 'the end of a call takes back what was also given out by hand',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'lib/bridge/slot.ts',
    original: 'if (!this.open || !this.returned) return false',
    replacement: 'if (!this.open) return false',
    breaks: 'withdrawn while a handle is on its way',
    tests: table,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: 'return returned >= 0 && this.#mem.compareExchange(at, returned, this.#granted) === returned',
    replacement: 'return this.#mem.compareExchange(at, returned, this.#granted) === returned',
    breaks: 'an end is given up that is imported',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot.ts',
    original: 'return returned >= 0 && this.#mem.compareExchange(at, returned, this.#granted) === returned',
    replacement: 'return returned >= 0 && (this.#mem.store(at, this.#granted), true)',
    breaks: 'an end is given up without a compare',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-view.ts',
    original: 'return view.#chunk.mem.compareExchange(view.#at + RETURNED, returned, returned | IMPORTED) === returned',
    replacement: 'return (view.#chunk.mem.store(view.#at + RETURNED, returned | IMPORTED), true)',
    breaks: 'imported without a compare, though it was given up',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-reader.ts',
    original: '    const returned = mem.load(at + RETURNED)\n    const granted = mem.load(at + GRANTED)\n',
    replacement: '    const granted = mem.load(at + GRANTED)\n    const returned = mem.load(at + RETURNED)\n',
    breaks: 'an import that meets an end that is given up takes the memory for damaged',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-view.ts',
    original: "state === FREE || state > 7 ? 'stale' : 'corrupt'",
    replacement: "'stale'",
    breaks: 'damaged memory is taken for a link that was closed',
    tests: reader,
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '    if (held.byHand && !held.slot.returned) this.#keep(held)\n',
    replacement: '',
    breaks: 'the end of a context that is never imported keeps its slot until the link is closed',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: 'this.#late.size > MAX_KEPT || now - since >= KEPT_FOR',
    replacement: 'now - since >= KEPT_FOR',
    breaks: 'any number of ends is kept for handles that do not come',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '    this.#giveUpLate(2, now)\n',
    replacement: '',
    breaks: 'ends that are kept too long are given up only when somebody asks',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '      else this.#late.set(held, since)\n',
    replacement: '',
    breaks: 'the end of what was imported when it should have been given up is kept for ever',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '        return exporter.exportForCall(ctx).handle\n',
    replacement: '        return exporter.export(ctx)\n',
    breaks: 'what goes on a channel of its own loses its end a minute after that',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/export.ts',
    original: '    this.of = this.next = this.previous = undefined\n',
    replacement: '',
    breaks: 'an end that is kept for a late handle keeps the context as well',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/export.ts',
    original: '    const isUsable = super.free()\n    this.#owner.forget(this)\n    return isUsable\n',
    replacement: '    return super.free()\n',
    breaks: 'what the table has back is kept as if a handle of it could come',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/export.ts',
    original: '  for (const owner of owners) owner.giveUpLate(LATE_LOOKS)\n',
    replacement: '',
    breaks: 'a table that is full of ends that nobody needs any more stays full',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'transports/worker/export.ts',
    original: '    if (this.calls > 0) return false\n',
    replacement: '',
    breaks: 'the end of a context is given up while a call has it',
    tests: ['test/worker/given-back.test.ts'],
  },
  {
    file: 'lib/bridge/slot-table.ts',
    original: 'if (!slot.open && slot.returned) this.#release(slot)',
    replacement: 'if (!slot.open) this.#release(slot)',
    breaks: 'freed at the end, whoever holds it',
    tests: table,
  },
  {
    file: 'lib/bridge/slot-table.ts',
    original: '      if (slot.link !== link) {\n',
    replacement: '      if (slot.link !== link || !slot.open) {\n',
    breaks: 'a sweep leaves what has ended',
    tests: table,
  },
  {
    file: 'lib/bridge/slot-memory.ts',
    original: '    if (++this.#glances < GLANCES) return',
    replacement: '    if (++this.#glances > 0) return',
    breaks: 'a loop never looks in a way that the language promises to see anything',
    tests: reader,
  },
  {
    file: 'lib/bridge/slot-view.ts',
    original: "    if (mem.load(this.#at + CONTROL) !== word) return 'stale'\n",
    replacement: '',
    breaks: 'the control word is not looked at again after a cause',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-reader.ts',
    original: "    if (!isLive(mem.load(at + CONTROL), generation)) return 'stale'\n    if (link",
    replacement: '    if (link',
    breaks: 'the control word is not looked at again after the words of an import',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-view.ts',
    original: 'this.#chunk.mem.compareExchange(this.#at + RETURNED, this.#returned | IMPORTED, this.#received)',
    replacement: 'this.#chunk.mem.store(this.#at + RETURNED, this.#received)',
    breaks: 'RETURNED is stored without a compare',
    tests: interleavings,
  },
  {
    file: 'lib/bridge/slot-view.ts',
    original: '    else SlotView.#overtake(view, ahead ?? new Set(), grant)\n',
    replacement: '    else view.#received = grant\n',
    breaks: 'a handle that came counts for all before it',
    tests: reader,
  },
  {
    file: 'lib/bridge/slot-reader.ts',
    original: "    if (link !== this.#link) return 'foreign'\n",
    replacement: '',
    breaks: 'a slot of another link is accepted',
    tests: reader,
  },
]

/** By part of the library; and those that let one link feel another. */
export const mutants: Readonly<Record<string, readonly Mutant[]>> = { tree, slots, threads, link, isolation }
