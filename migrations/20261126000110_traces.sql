-- Where a run belongs to in a trace: the `traceparent` (W3C Trace Context) of the request that brought it; null if nobody traces.
alter table runs add column traceparent text;
