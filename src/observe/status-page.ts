// The page at /: one node, live. Asks /status.json every two seconds and draws it; needs nothing from elsewhere, and its policy
// allows nothing from elsewhere. Text from the cluster is only ever put in as text.
import { createHash } from "node:crypto";

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--ok:#1a7f37;--warn:#9a6700;--bad:#cf222e;--bar:#0969da}
body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:72rem;padding:0 1rem}
h1{font-size:1.3rem;display:flex;gap:.7rem;align-items:baseline;margin:0 0 .3rem}
h2{font-size:1rem;margin:1.4rem 0 .4rem}
.state{font-size:.9rem;padding:.05rem .6rem;border-radius:1rem;color:#fff;background:var(--bad)}
.state.ok{background:var(--ok)}.state.degraded,.state.starting,.state.stopping{background:var(--warn)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;font-size:.85rem;opacity:.75}td.n,th.n{text-align:right}
.wrap{overflow-x:auto}ul{margin:.2rem 0;padding-left:1.2rem}.faint{opacity:.7}
svg{width:100%;height:4rem;display:block;border-bottom:1px solid var(--line)}
polyline{fill:none;stroke:var(--bar);stroke-width:1.5;vector-effect:non-scaling-stroke}
input{font:inherit;padding:.15rem .4rem;width:16rem;max-width:100%}
`;

const SCRIPT = `
"use strict";
const EVERY=2000,KEEP=90,SHOWN=200;
const $=id=>document.getElementById(id);
let before=null,history=[],peers=[];
const cell=(row,text,cls)=>{const td=row.insertCell();td.textContent=text;if(cls)td.className=cls;return td};
const fill=(id,rows)=>{const body=$(id);body.textContent="";for(const cells of rows){const row=body.insertRow();for(const one of cells)Array.isArray(one)?cell(row,one[0],one[1]):cell(row,one)}};
const si=(n,u)=>{for(const [f,p] of [[1e9,"G"],[1e6,"M"],[1e3,"k"]])if(n>=f)return (n/f).toFixed(1)+" "+p+u;return n.toFixed(0)+" "+u};
const list=(id,texts)=>{$(id).textContent="";for(const text of texts){const li=document.createElement("li");li.textContent=text;$(id).append(li)}};
function path(peer,carried){return peer.direct?"direct route":carried?"user space":"kernel"}
function drawPeers(carried){const word=$("filter").value.trim();const match=peers.filter(p=>!word||[p.prefix,p.publicIp,p.lease,p.vtepMac||""].some(t=>t.includes(word)));
fill("peers",match.slice(0,SHOWN).map(p=>[p.prefix,p.publicIp,p.vtepMac||"-",path(p,carried)]));
$("count").textContent=match.length>SHOWN?"first "+SHOWN+" of "+match.length+" shown":match.length+" of "+peers.length}
function rates(counters,seconds){const lanes=["encap","decap"];return lanes.map(lane=>{const now=counters[lane],old=before.counters[lane];const d=k=>Number(BigInt(now[k])-BigInt(old[k]))/seconds;return{lane,rx:d("rxPackets"),tx:d("txPackets"),bits:d("txBytes")*8}})}
function draw(status){const {agent,dataplane}=status,carried=dataplane.state==="running";
$("state").textContent=agent.condition;$("state").className="state "+agent.condition;
$("node").textContent=agent.network?[agent.network.subnet,agent.network.ipv6Subnet].filter(Boolean).join(" and ")+" at "+[agent.network.publicIp,agent.network.publicIpv6].filter(Boolean).join(" and ")+" on "+agent.network.externalInterface:"no lease yet";
document.title="Ripstop "+agent.condition;
list("reasons",agent.reasons);
const sync=agent.store.lastSyncAgeMs===null?"never read":"read "+(agent.store.lastSyncAgeMs/1000).toFixed(0)+" s ago";
fill("facts",[["carried by",carried?"user-space data plane, pid "+dataplane.pid:"the kernel's VXLAN path ("+(agent.dataplane.reason||"data plane "+dataplane.state)+")"],
["store",agent.store.kind+", "+(agent.store.connected?"connected":"not connected")+", "+sync],
["overlay",agent.network?agent.network.backend+" "+agent.network.devices.join(" ")+", MTU "+agent.network.mtu:"-"],
...(dataplane.inspection?dataplane.inspection.ports.map(p=>[p.side+" port",p.kind+": "+p.description+" ("+p.reason+")"]):[])]);
peers=agent.peers;drawPeers(carried);
const counters=dataplane.counters,now=performance.now();
if(counters&&before&&before.pid===dataplane.pid){const r=rates(counters,(now-before.at)/1000);
fill("lanes",r.map(x=>[x.lane==="encap"?"out (encap)":"in (decap)",[si(x.rx,"pkt/s"),"n"],[si(x.tx,"pkt/s"),"n"],[si(x.bits,"bit/s"),"n"]]));
history.push(r.reduce((a,x)=>a+x.bits,0));history=history.slice(-KEEP);const top=Math.max(1,...history);
$("line").setAttribute("points",history.map((v,i)=>(i*100/(KEEP-1)).toFixed(2)+","+(38-v/top*36).toFixed(2)).join(" "));$("top").textContent="peak "+si(top,"bit/s")}
before=counters?{counters,at:now,pid:dataplane.pid}:null;
const drops=[];if(counters)for(const lane of ["encap","decap","answer"])for(const [reason,n] of Object.entries(counters[lane].drops))if(n!=="0")drops.push([lane,reason,[n,"n"]]);
fill("drops",drops.length?drops:[["-","nothing dropped",["0","n"]]]);
$("when").textContent="as of "+new Date().toLocaleTimeString()}
async function tick(){try{const answer=await fetch("status.json",{cache:"no-store"});if(!answer.ok)throw new Error("HTTP "+answer.status);draw(await answer.json())}
catch(error){$("state").textContent="no answer";$("state").className="state";$("when").textContent=String(error)}
setTimeout(tick,EVERY)}
$("filter").addEventListener("input",()=>drawPeers(before!==null));
tick();
`;

const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

export const STATUS_PAGE_POLICY = `default-src 'none'; connect-src 'self'; img-src data:; style-src ${hash(STYLE)}; script-src ${hash(SCRIPT)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export const STATUS_PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Ripstop</title><link rel="icon" href="data:,"><style>${STYLE}</style></head><body>
<h1>Ripstop <span id="state" class="state">...</span></h1>
<div><span id="node"></span> <span id="when" class="faint"></span></div>
<ul id="reasons"></ul>
<table><tbody id="facts"></tbody></table>
<h2>Throughput <span id="top" class="faint"></span></h2>
<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="bits per second over the last three minutes"><polyline id="line" points=""/></svg>
<table><thead><tr><th>direction</th><th class="n">received</th><th class="n">sent</th><th class="n">sent</th></tr></thead><tbody id="lanes"></tbody></table>
<h2>Drops</h2>
<table><thead><tr><th>where</th><th>reason</th><th class="n">packets</th></tr></thead><tbody id="drops"></tbody></table>
<h2>Peers <span id="count" class="faint"></span></h2>
<input id="filter" placeholder="filter by subnet, address or MAC" aria-label="filter peers">
<div class="wrap"><table><thead><tr><th>subnet</th><th>public address</th><th>VTEP</th><th>path</th></tr></thead><tbody id="peers"></tbody></table></div>
<script>${SCRIPT}</script></body></html>
`;
