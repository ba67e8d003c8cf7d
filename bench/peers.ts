import type { Extra } from './cases/all.ts'
export async function peerSuites(_say: (text: string) => void): Promise<Extra[]> {
  return []
}
