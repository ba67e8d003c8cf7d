/** What `npm run model` searches: the configurations that must hold, and the mutants that must not. Names are those in slots.pml. */

const all = {
  'one slot through four contexts': ['-DNG=4', '-DMG=2'],
  'a growing table': ['-DNS=2', '-DNG=3', '-DMG=1'],
  'handles that overtake each other': ['-DOVERTAKE', '-DNG=3', '-DMG=2'],
  'handles that come twice': ['-DDUP', '-DNG=2', '-DMG=2'],
  'handles that are taken back': ['-DREVOKE', '-DNG=3', '-DMG=2'],
  'an importer that is terminated anywhere': ['-DDIE', '-DNG=2', '-DMG=2'],
  'a link that is closed under a living importer': ['-DCLOSE', '-DNG=2', '-DMG=2'],
  'ends that are given up': ['-DLATE', '-DOVERTAKE', '-DNG=3', '-DMG=2'],
  'an idle importer that looks at what the ring names': ['-DRING', '-DNS=2', '-DNG=3', '-DMG=1'],
} as const

export type Configuration = keyof typeof all
export const configurations: Readonly<Record<Configuration, readonly string[]>> = all

export interface Mutant {
  readonly define: string
  readonly breaks: string
  readonly configuration: Configuration
  /** A part of what the search must find: an assertion's text, or `invalid end state` for a leak or a lost wake-up. */
  readonly by: string
}

const one = 'one slot through four contexts'
const dead = 'an importer that is terminated anywhere'
const closed = 'a link that is closed under a living importer'
const late = 'ends that are given up'
const idle = 'an idle importer that looks at what the ring names'
const leak = 'invalid end state'

export const mutants: readonly Mutant[] = [
  { define: 'M_NO_GENERATION', breaks: 'a handle is accepted in any generation', configuration: closed, by: 'assertion' },
  {
    define: 'M_SAME_GENERATION',
    breaks: 'a slot is opened again without a new generation',
    configuration: closed,
    by: 'assertion',
  },
  {
    define: 'M_ACCEPT_ONCE',
    breaks: 'the generation is not looked at again after the words of an import',
    configuration: closed,
    by: 'assertion',
  },
  {
    define: 'M_READ_ONCE',
    breaks: 'the control word is not looked at again after a cause',
    configuration: closed,
    by: 'assertion',
  },
  { define: 'M_FLAG_FIRST', breaks: 'ended before the cause is written', configuration: one, by: 'assertion' },
  { define: 'M_BELL_FIRST', breaks: 'the bell is rung before the end is published', configuration: one, by: leak },
  { define: 'M_NO_BELL', breaks: 'the bell does not change', configuration: one, by: leak },
  { define: 'M_NO_NOTIFY', breaks: 'the bell changes and nobody is notified', configuration: one, by: leak },
  { define: 'M_LOOK_FIRST', breaks: 'a waiter looks before it loads the bell', configuration: one, by: leak },
  { define: 'M_FREE_UNSEEN', breaks: 'freed at the end, whoever holds it', configuration: one, by: 'assertion' },
  { define: 'M_WITHDRAW_UNSEEN', breaks: 'withdrawn while a handle is on its way', configuration: one, by: leak },
  { define: 'M_GRANT_AFTER_SEND', breaks: 'a handle is sent before its grant is written', configuration: one, by: 'assertion' },
  { define: 'M_KEEP_RETURNED', breaks: 'RETURNED is not set when a slot is opened again', configuration: dead, by: leak },
  { define: 'M_NO_SWEEP', breaks: 'nothing is swept after the importer', configuration: dead, by: leak },
  { define: 'M_RETURN_STORE', breaks: 'RETURNED is stored without a compare', configuration: closed, by: leak },
  { define: 'M_RETURN_COUNT', breaks: 'RETURNED counts imports', configuration: 'handles that come twice', by: 'assertion' },
  {
    define: 'M_NO_AHEAD',
    breaks: 'a handle that came counts for all before it',
    configuration: 'handles that overtake each other',
    by: 'assertion',
  },
  {
    define: 'M_REVOKE_NOTHING',
    breaks: 'a handle that is taken back stays granted',
    configuration: 'handles that are taken back',
    by: leak,
  },
  {
    define: 'M_KEEP_MARK',
    breaks: 'who gives back a handle that came ahead is taken for holding it',
    configuration: late,
    by: 'assertion',
  },
  { define: 'M_GIVE_UP_IMPORTED', breaks: 'what is imported is given up', configuration: late, by: 'assertion' },
  { define: 'M_HOLD_STORE', breaks: 'imported without a compare', configuration: late, by: 'assertion' },
  { define: 'M_GRANTED_FIRST', breaks: 'an import reads what was granted first', configuration: late, by: 'assertion' },
  {
    define: 'M_CHUNK_LATE',
    breaks: 'a chunk is announced after a handle into it',
    configuration: 'a growing table',
    by: 'assertion',
  },
  { define: 'M_BELL_FIRST', breaks: 'the bell is rung before the end is published', configuration: idle, by: leak },
  { define: 'M_RING_LATE', breaks: 'an end is counted before the ring names it', configuration: idle, by: leak },
  { define: 'M_RING_BELIEVED', breaks: 'more ends than the ring has entries are not noticed', configuration: idle, by: leak },
  { define: 'M_RING_ONCE', breaks: 'a name may be written over while it is read', configuration: idle, by: leak },
  { define: 'M_NOW_LATE', breaks: 'the next wait begins where the bell stood after the look', configuration: idle, by: leak },
  { define: 'M_LISTEN_LATE', breaks: 'what was imported is looked at before the bell is loaded', configuration: idle, by: leak },
]
