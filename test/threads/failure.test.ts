/** Answers of calls that have failed, as they come in. */
import { expect, test } from 'vitest'
import { failureFromWire } from '../../transports/worker/failure.ts'

test('what is longer than anybody sends, in place of an error, is not read', () => {
  const error = ['Error', 'm'.repeat(65_537), null, null] as const
  expect(failureFromWire({ threw: [6, ...error] })).toMatchObject({ code: 'ERR_PROTOCOL' })
  const rows = Array.from({ length: 65_536 }, () => 1)
  expect(failureFromWire({ threw: [0, rows] })).toMatchObject({ code: 'ERR_PROTOCOL' })
})
