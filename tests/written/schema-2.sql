PRAGMA application_id = 1131376246;
PRAGMA user_version = 2;
PRAGMA journal_mode = WAL;
CREATE TABLE leases (
    job_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    token TEXT,
    host TEXT NOT NULL,
    place TEXT NOT NULL,
    process INTEGER NOT NULL,
    started TEXT NOT NULL,
    expires REAL NOT NULL,
    last_number INTEGER NOT NULL DEFAULT 0,
    last_digest TEXT NOT NULL DEFAULT ''
) STRICT
;
INSERT INTO "leases" VALUES('whole',1,NULL,'host','place',11311,'3020153',1.79595002631618022919e+09,7,'01f6c84c6b037bae2389e33dd363bb6e');
INSERT INTO "leases" VALUES('cut',1,NULL,'host','place',11311,'3020153',1.79595002632914376265e+09,5,'7e3f96e9f605d1d97902c6ee5b0037bf');
CREATE TABLE letters (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
;
INSERT INTO "letters" VALUES('cut',1,1795949996.33417,'{"facts":[["Clause:0dbd3070f3ea92b0ab703811e93e8537",{"number":3,"text":"notice"}]]}');
CREATE TABLE log (
    job_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    cycle INTEGER,
    at REAL NOT NULL,
    round INTEGER NOT NULL,
    facts INTEGER NOT NULL,
    stop TEXT,
    epoch INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, number)
) STRICT
;
INSERT INTO "log" VALUES('whole',0,NULL,1.79594999631879591946e+09,0,0,NULL,0,'8bd521500e607db700ecc475082c5d95','{"constraints":[],"objective":"whole","scope":[],"success":[]}');
INSERT INTO "log" VALUES('whole',1,1,1.79594999631839847566e+09,0,2,NULL,1,'c0d5a1a95a149bd1da09a16464f86876','{"form":3,"cycle":1,"base":1,"facts":[["Clause:4228427459a3aabb2de97ed7c5e1b3ce",0,{"number":2,"text":"it''s “late”"}],["Clause:ba867c680d20bf56e2772ab93f99eccf",0,{"number":1,"text":"delay"}]],"sources":[["","1",false]],"given":[],"supports":[[1,0,0,[]],[2,0,0,[]]],"watermarks":[["critic","1",false,-1,-1,false,-1,-1,-1],["judge","1",true,-1,-1,false,-1,-1,-1],["lawyer","1",false,-1,-1,false,-1,-1,-1]],"spend":{"rounds":1,"facts":0,"activations":1,"seconds":0.00019228300152462907,"calls":0,"tokens":0,"money":0.0},"budget":{"rounds":1000,"facts":1000000,"activations":1000000,"seconds":600.0,"churn":1,"calls":10000,"tokens":100000000,"money":null},"trace":[["JobStarted",1,1795949996.3183985,"whole","whole",2,"frontier"]]}');
INSERT INTO "log" VALUES('whole',2,NULL,1.79594999632139396667e+09,0,2,NULL,1,'87d38266b1803096602db30b40886e0c','{"form":3,"captures":[[["lawyer","1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0,0],"\"asked again: it''s “late”\"",null]]}');
INSERT INTO "log" VALUES('whole',3,NULL,1.79594999632242465024e+09,0,2,NULL,1,'12cb579f6135e8c7fd8e672dd12be87a','{"form":3,"captures":[[["lawyer","1","ask","423f8bf826fca5a003652437b22f0d47",0,0],"\"asked again: delay\"",null]]}');
INSERT INTO "log" VALUES('whole',4,2,1.79594999632321977614e+09,1,4,NULL,1,'e9d75b7be9ab14dee1c9fc74e6792449','{"form":3,"cycle":2,"base":3,"facts":[["Opinion:53939c14a4d46059bfa1cc5af527fe04",1,{"clause":2,"text":"asked again: it''s “late”"}],["Opinion:42b4494da1bc976db441fdfbdd270ef8",1,{"clause":1,"text":"asked again: delay"}]],"sources":[["lawyer","1",false]],"given":[],"supports":[[3,0,1,[1]],[4,0,1,[2]]],"watermarks":[["lawyer","1",false,0,0,false,1,-1,-1]],"spend":{"rounds":2,"facts":2,"activations":2,"seconds":0.004077591001987457,"calls":0,"tokens":0,"money":0.0},"trace":[["RoundStarted",2,1795949996.3193345,0,1],["Captured",3,"lawyer",0,"1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0,0,null],["Captured",4,"lawyer",0,"1","ask","423f8bf826fca5a003652437b22f0d47",0,0,null],["Activated",5,"lawyer",0,2,0.0020402279988047667],["RoundMerged",6,1795949996.3232198,1,2,2]]}');
INSERT INTO "log" VALUES('whole',5,3,1.79594999632461738581e+09,2,5,NULL,1,'08bb1cbb06fb6f35b0a0a65ccb3c0373','{"form":3,"cycle":3,"base":5,"facts":[["Invalidation:cf4928ec55dfdc62b17131c1324da227",2,{"reason":"a later clause speaks","target":"Opinion:42b4494da1bc976db441fdfbdd270ef8"}]],"sources":[["critic","1",false]],"given":[],"supports":[[5,0,2,[3]]],"watermarks":[["critic","1",false,1,1,false,2,-1,-1]],"spend":{"rounds":3,"facts":3,"activations":3,"seconds":0.005475131001730915,"calls":0,"tokens":0,"money":0.0},"trace":[["RoundStarted",7,1795949996.3232198,1,1],["Activated",8,"critic",1,1,0.0002763740012596827],["RoundMerged",9,1795949996.3246174,2,1,1]]}');
INSERT INTO "log" VALUES('whole',6,4,1.79594999632627320288e+09,3,6,NULL,1,'9caa6f17bdf5ce9b6235f33f6c8e56f8','{"form":3,"cycle":4,"base":6,"facts":[["Verdict:07708c6d6347b335a7988b43ba268431",3,{"opinions":1}]],"sources":[["judge","1",true]],"given":[[[],[0]]],"supports":[[6,0,3,0]],"watermarks":[["judge","1",true,2,2,false,3,-1,-1]],"spend":{"rounds":3,"facts":4,"activations":3,"seconds":0.007132563001505332,"calls":0,"tokens":0,"money":0.0},"trace":[["RoundStarted",10,1795949996.3246174,2,1],["Activated",11,"judge",2,1,0.0002824319999490399],["RoundMerged",12,1795949996.3262732,3,1,1]]}');
INSERT INTO "log" VALUES('whole',7,5,1.79594999632627320288e+09,3,6,'fixed_point',1,'01f6c84c6b037bae2389e33dd363bb6e','{"form":3,"cycle":5,"base":7,"facts":[],"sources":[],"given":[],"supports":[],"watermarks":[],"spend":{"rounds":3,"facts":4,"activations":3,"seconds":0.007132563001505332,"calls":0,"tokens":0,"money":0.0},"trace":[["JobStopped",13,1795949996.3262732,"fixed_point","fixed point: no agent would add anything"]]}');
INSERT INTO "log" VALUES('cut',0,NULL,1.7959499963298931122e+09,0,0,NULL,0,'a2d3af5700dd7a0969aa675f04a1df89','{"constraints":[],"objective":"cut","scope":[],"success":[]}');
INSERT INTO "log" VALUES('cut',1,1,1.79594999632971858978e+09,0,2,NULL,1,'5b1f8147443a50492d41152606a4d8bf','{"form":3,"cycle":1,"base":1,"facts":[["Clause:4228427459a3aabb2de97ed7c5e1b3ce",0,{"number":2,"text":"it''s “late”"}],["Clause:ba867c680d20bf56e2772ab93f99eccf",0,{"number":1,"text":"delay"}]],"sources":[["","1",false]],"given":[],"supports":[[1,0,0,[]],[2,0,0,[]]],"watermarks":[["critic","1",false,-1,-1,false,-1,-1,-1],["judge","1",true,-1,-1,false,-1,-1,-1],["lawyer","1",false,-1,-1,false,-1,-1,-1]],"spend":{"rounds":1,"facts":0,"activations":1,"seconds":0.00015167699893936515,"calls":0,"tokens":0,"money":0.0},"budget":{"rounds":1,"facts":1000000,"activations":1000000,"seconds":600.0,"churn":1,"calls":10000,"tokens":100000000,"money":null},"trace":[["JobStarted",1,1795949996.3297186,"cut","cut",2,"frontier"]]}');
INSERT INTO "log" VALUES('cut',2,NULL,1.79594999633131909367e+09,0,2,NULL,1,'6346c30f7acbbcf6b9a4e836ae6cf217','{"form":3,"captures":[[["lawyer","1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0,0],"\"asked again: it''s “late”\"",null]]}');
INSERT INTO "log" VALUES('cut',3,NULL,1.79594999633172392851e+09,0,2,NULL,1,'68c20fe58c6c1639c8bf20c713f30a63','{"form":3,"captures":[[["lawyer","1","ask","423f8bf826fca5a003652437b22f0d47",0,0],"\"asked again: delay\"",null]]}');
INSERT INTO "log" VALUES('cut',4,2,1.79594999633217954635e+09,1,4,NULL,1,'3e088d4c09c6c4af3c5ca1ec2ea31a6c','{"form":3,"cycle":2,"base":3,"facts":[["Opinion:53939c14a4d46059bfa1cc5af527fe04",1,{"clause":2,"text":"asked again: it''s “late”"}],["Opinion:42b4494da1bc976db441fdfbdd270ef8",1,{"clause":1,"text":"asked again: delay"}]],"sources":[["lawyer","1",false]],"given":[],"supports":[[3,0,1,[1]],[4,0,1,[2]]],"watermarks":[["lawyer","1",false,0,0,false,1,-1,-1]],"spend":{"rounds":1,"facts":2,"activations":1,"seconds":0.002125134000380058,"calls":0,"tokens":0,"money":0.0},"trace":[["RoundStarted",2,1795949996.3302054,0,1],["Captured",3,"lawyer",0,"1","ask","f023c50aa30cd8a2d4f4ea7b1df6c769",0,0,null],["Captured",4,"lawyer",0,"1","ask","423f8bf826fca5a003652437b22f0d47",0,0,null],["Activated",5,"lawyer",0,2,0.0009916519993566908],["RoundMerged",6,1795949996.3321795,1,2,2]]}');
INSERT INTO "log" VALUES('cut',5,3,1.79594999633217954635e+09,1,4,'budget',1,'7e3f96e9f605d1d97902c6ee5b0037bf','{"form":3,"cycle":3,"base":5,"facts":[],"sources":[],"given":[],"supports":[],"watermarks":[],"spend":{"rounds":1,"facts":2,"activations":1,"seconds":0.002125134000380058,"calls":0,"tokens":0,"money":0.0},"trace":[["JobStopped",7,1795949996.3321795,"budget","the budget is spent before a fixed point: rounds (critic, judge had more to read)"]]}');
CREATE VIEW jobs AS
SELECT header.job_id, header.at AS created, last.at AS updated, json_extract(header.body, '$.objective') AS objective,
       last.cycle AS cycles, last.round, last.facts, last.stop
FROM log AS header
JOIN log AS last ON last.job_id = header.job_id AND last.number =
    (SELECT number FROM log WHERE job_id = header.job_id AND cycle IS NOT NULL ORDER BY number DESC LIMIT 1)
WHERE header.number = 0;
CREATE VIEW facts AS
SELECT log.job_id, log.cycle, json_extract(log.body, '$.base') + each.key AS position,
       json_extract(each.value, '$[0]') AS id, json_extract(each.value, '$[1]') AS round,
       json_extract(each.value, '$[2]') AS content
FROM log, json_each(log.body, '$.facts') AS each WHERE log.cycle IS NOT NULL;
CREATE VIEW supports AS
SELECT log.job_id, log.cycle, json_extract(each.value, '$[0]') AS position,
       json_extract(log.body, '$.sources[' || json_extract(each.value, '$[1]') || '][0]') AS agent,
       json_extract(each.value, '$[2]') AS round,
       CASE json_type(each.value, '$[3]')
           WHEN 'array' THEN json_extract(each.value, '$[3]')
           ELSE json_extract(log.body, '$.given[' || json_extract(each.value, '$[3]') || ']')
       END AS evidence
FROM log, json_each(log.body, '$.supports') AS each WHERE log.cycle IS NOT NULL;
CREATE VIEW captures AS
SELECT log.job_id, log.number,
       json_extract(each.value, '$[0][0]') AS agent, json_extract(each.value, '$[0][2]') AS name,
       json_extract(each.value, '$[0][3]') AS asked, json_extract(each.value, '$[1]') AS answer
FROM log, json_each(log.body, '$.captures') AS each WHERE log.number > 0;
