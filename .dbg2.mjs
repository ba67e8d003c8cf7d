import { background, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { run } from 'ctxbridge/piscina'
import { Piscina } from 'piscina'
import { MessageChannel } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
const ppp=0;const pool = new Piscina({ filename: fileURLToPath(new URL('.build/test/fixtures/pool-jobs.js', import.meta.url)), minThreads:1,maxThreads: 1 })
await run(pool, background(), {do:'look'}, {name:'run'})
const { port1, port2 } = new MessageChannel()
const [near, far] = [link(port1), link(port2)]
const out={}; await new Promise(r=>setTimeout(r,50))
for (let i=0;i<50;i++){
 const ctx = far.import(near.export(withTimeout(background(), +process.argv[2])))
 for(let k=0;k<+process.argv[3];k++) ctx.err()
 if(i==3) console.log(String(ctx), ctx.err())
 const o = await run(pool, ctx, {do:'spin and return'}, {name:'run', grace: 3.6e6}).then(()=>'resolved',(e)=>e===ctx.err()?'same':String(e))
 out[o]=(out[o]??0)+1
}
console.log(out)
process.exit()
