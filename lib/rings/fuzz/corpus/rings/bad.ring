squeal-rings 1
cluster c
current {"log":{"path":"none"},"clusters":[{"name":"a","pools":[{"name":"default","kind":"sharded","role":"main","distribution":"ketama","hash":"default","hash_stop":"auto","tls":"off","servers":[{"host":"127.0.0.1","port":20620,"weight":"1"}]},{"name":"users","prefixes":["user:"],"kind":"sharded","role":"main","distribution":"ketama","hash":"default","hash_stop":"auto","tls":"off","servers":[{"host":"127.0.0.1","port":16456,"weight":"1"}]}]}]}
before 5 {"log":
