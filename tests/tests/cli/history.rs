//! `history`

use dhow_tests::scene::Scene;
use insta::assert_snapshot;

#[test]
fn newest_step_first() {
    let scene = Scene::new();
    scene.load("a", "docker.io/library/alpine:3.20");
    assert_snapshot!(scene.dhow(&["history", "alpine:3.20"]), @r#"
    exit 0
    [out]
    IMAGE          CREATED                  CREATED BY                                     SIZE      COMMENT
    id-a--------   Less than a second ago   CMD ["/bin/sh"]                                0B        
    <missing>      Less than a second ago   RUN /bin/sh -c echo a > /etc/salt # buildkit   2.05kB    
    <missing>      Less than a second ago   COPY / / # buildkit                            2.05kB    buildkit.dockerfile.v0
    "#);
    assert_snapshot!(scene.dhow(&["image", "history", "-H=false", "--no-trunc", "alpine:3.20"]), @r#"
    exit 0
    [out]
    IMAGE                                                                     CREATED AT             CREATED BY                                     SIZE      COMMENT
    sha256:<id-a>   2200-01-01T00:00:00Z   CMD ["/bin/sh"]                                0         
    <missing>                                                                 2200-01-01T00:00:00Z   RUN /bin/sh -c echo a > /etc/salt # buildkit   2048      
    <missing>                                                                 2200-01-01T00:00:00Z   COPY / / # buildkit                            2048      buildkit.dockerfile.v0
    "#);
    assert_snapshot!(scene.dhow(&["history", "-q", "alpine:3.20"]), @r"
    exit 0
    [out]
    id-a--------
    <missing>
    <missing>
    ");
}

#[test]
fn missing_images() {
    let scene = Scene::new();
    assert_snapshot!(scene.docker(&["history", "nope"]), @r"
    exit 1
    [err]
    Error response from daemon: No such image: nope:latest
    ");
}
