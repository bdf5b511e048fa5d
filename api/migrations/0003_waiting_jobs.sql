-- Asked at every callback (does a pull of this account wait already?) and by the sweep.
create index kefu_waiting_jobs on procrastinate_jobs (lock) where status = 'todo';
