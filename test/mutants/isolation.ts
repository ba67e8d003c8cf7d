/** Breakages by which somebody who attacks is felt by others: worlds under attack must tell them from those without. */
import type { Mutant } from './list.ts'

const tests = ['test/simulation/isolation.test.ts']

export const isolation: readonly Mutant[] = [
  {
    file: 'lib/bridge/link-core.ts',
    original: 'return (this.#budget ??= new Budget(',
    replacement: 'return ((this.options.serve as { budget?: Budget }).budget ??= new Budget(',
    breaks: 'what may be opened and abandoned is counted for all links of a service together',
    tests,
  },
  {
    file: 'lib/bridge/link-handlers.ts',
    original: 'this.#handlers.size >= 2 * maxCalls',
    replacement:
      '[...((this.#methods as { all?: Set<Handlers<M>> }).all ??= new Set()).add(this)].reduce((n, one) => n + one.#handlers.size, 0) >= 2 * maxCalls',
    breaks: 'calls are counted for all links of a service together',
    tests,
  },
  {
    file: 'lib/bridge/link-acceptor.ts',
    original: "    const refuse = (): 'refused' => {\n",
    replacement: "    const refuse = (): 'refused' => {\n      session?.link.close()\n",
    breaks: 'a session that somebody else asks for is closed to be safe',
    tests,
  },
  {
    file: 'lib/bridge/link-acceptor.ts',
    original: ' || !isSame(session.identity, connection.identity)',
    replacement: '',
    breaks: 'a session goes on for whoever knows its token',
    tests,
  },
  {
    file: 'lib/bridge/link-service.ts',
    original: '      onOpen: () => this.connections.add(connection),\n',
    replacement:
      '      onOpen: () => this.connections.add(connection),\n      onSuspend: () => {\n        for (const other of this.#links) other.probe()\n      },\n',
    breaks: 'a connection that breaks makes its service ask after all others',
    tests,
  },
  {
    file: 'lib/bridge/link.ts',
    original: "    this.#fail(closeCode.tooSlow, 'backlog: the peer does not read')\n    return true\n",
    replacement: '    return false\n',
    breaks: 'who does not read is kept',
    tests: ['test/link/limits.test.ts'],
  },
  {
    file: 'lib/bridge/link-imports.ts',
    original: "if (core.peer.link !== '' && parsed.link !== core.peer.link) return",
    replacement: "if (parsed.link === '') return",
    breaks: 'a handle of another link is taken',
    tests,
  },
  {
    file: 'lib/bridge/link-service.ts',
    original: 'this.helloTimeout, false, () => connected.refuse(late))',
    replacement: 'this.helloTimeout, false, () => undefined)',
    breaks: 'who never greets is waited for',
    tests,
  },
  {
    file: 'transports/websocket/serve.ts',
    original:
      '    if (known === undefined) turnAway(socket)\n    else openChannel(socket, (channel) => service.accept(channel, known.identity))\n',
    replacement: '    openChannel(socket, (channel) => service.accept(channel, known?.identity))\n',
    breaks: 'whom another service let in is let in',
    tests: ['test/websocket/front.test.ts'],
  },
  {
    file: 'transports/websocket/serve.ts',
    original: '(request) => judge(request, settings, admitted)',
    replacement: '(request) => judge(request, options, admitted)',
    breaks: 'who is let in is what the options say later',
    tests: ['test/options.test.ts'],
  },
  {
    file: 'transports/websocket/ws.ts',
    original: '    for (const giveUp of waiting) giveUp()\n',
    replacement: '',
    breaks: 'who is not judged when a service ends waits on',
    tests: ['test/websocket/front.test.ts'],
  },
  {
    file: 'transports/websocket/ws.ts',
    original: "    socket.once('close', giveUp).once('readable', giveUp)\n",
    replacement: "    socket.once('close', giveUp).once('end', giveUp)\n",
    breaks: 'a request whose client has said something and gone keeps its place among those that are judged',
    tests: ['test/websocket/front.test.ts'],
  },
  {
    file: 'lib/given.ts',
    original: 'Object.keys(options).find(',
    replacement: 'Object.keys({ ...(Object.getPrototypeOf(options) as object), ...options }).find(',
    breaks: 'what a library has put on Object.prototype is refused as an option',
    tests: ['test/options.test.ts'],
  },
  {
    file: 'lib/given.ts',
    original: '  if (unknown !== undefined) throw',
    replacement: "  if (unknown !== undefined && caller === 'connect') throw",
    breaks: 'an option of a name that nobody knows goes unnoticed',
    tests: ['test/options.test.ts'],
  },
  {
    file: 'transports/websocket/port-channel.ts',
    original: '    if (from !== this.#peer) return\n',
    replacement: '',
    breaks: 'an end of a port that has gone is heard',
    tests: ['test/message-port/message-port.test.ts'],
  },
  {
    file: 'transports/websocket/message-port.ts',
    original: "methods, 'acknowledge',",
    replacement: 'methods, undefined,',
    breaks: 'who reads nothing at a port is sent without end',
    tests: ['test/message-port/message-port.test.ts'],
  },
  {
    file: 'lib/bridge/link-intake.ts',
    original: '      if (fault !== undefined) break\n',
    replacement: '      if (fault !== undefined) return fault\n',
    breaks: 'an imported context outlives its link',
    tests: ['test/link/ends.test.ts'],
  },
]
