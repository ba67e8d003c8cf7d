import { background, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { MessageChannel } from 'node:worker_threads'
const { port1, port2 } = new MessageChannel()
const [near, far] = [link(port1), link(port2)]
await new Promise(r=>setTimeout(r,20))
let skipped=0
for (let i=0;i<20;i++){
const ctx = far.import(near.export(withTimeout(background(), 4.2)))
ctx.err();ctx.err();ctx.err();
if(i===0) console.log(ctx.bounds?.due?.constructor?.name, Object.getOwnPropertyNames(ctx).join())
await new Promise(r=>setImmediate(r))
const t=performance.now(); while(performance.now()-t<5);
if(ctx.err()===undefined) skipped++
}
console.log({skipped})
process.exit()
